// Elements. Names of classes, files and networks are text and nothing else.

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name in element && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function swatch(entry) {
  const element = make("span", { className: "swatch" });
  if (entry) element.style.background = `rgb(${entry.color.join(",")})`;
  else element.classList.add("none");
  return element;
}

function percent(share, digits = 1) {
  return `${(100 * share).toFixed(digits)} %`;
}

function short(value) {
  const size = Math.abs(value);
  const text = size >= 1000 || (size > 0 && size < 0.001) ? value.toExponential(1) : value.toPrecision(3);
  return text.replaceAll("-", "−");
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// Where an arrow key leads, or null for any other key.
function arrow(event) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  return event.ctrlKey || event.metaKey || event.altKey ? null : (steps[event.key] ?? null);
}

function byId(id) {
  return document.getElementById(id);
}

function count(list, one, many = `${one}s`) {
  return `${list.length} ${list.length === 1 ? one : many}`;
}
