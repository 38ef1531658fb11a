// An image with a layer over it and a crosshair; tells where the pointer is, in the image's own pixels.

class Picture {
  constructor(label, listen) {
    this.image = make("img", { alt: "", draggable: false });
    this.layer = make("canvas", { width: 1, height: 1 });
    this.cross = make("span", { className: "cross", hidden: true }, make("i"), make("i"), make("b"));
    this.element = make("div", { className: "picture", role: "img", "aria-label": label }, this.image, this.layer, this.cross);
    const tell = (name) => (event) => listen(name, this.pointAt(event));
    this.element.addEventListener("pointermove", (event) => tell(this.drags(event) ? "drag" : "move")(event));
    this.element.addEventListener("pointerdown", (event) => { this.down = event; tell("move")(event); });
    this.element.addEventListener("click", tell("pin"));
  }

  show(loaded) {
    [this.height, this.width] = loaded.entry.size;
    const [height, width] = loaded.entry.shown;
    this.image.src = loaded.picture;
    Object.assign(this.layer, { width, height });
    this.element.style.aspectRatio = `${width} / ${height}`;
    this.element.style.setProperty("--ratio", width / height);
    this.element.classList.toggle("small", Math.max(width, height) < 240);
  }

  // Pressed and moved, which a pinned crosshair follows too; a finger up or down scrolls.
  drags(event) {
    if (!event.buttons || !this.down) return false;
    const along = Math.abs(event.clientX - this.down.clientX), up = Math.abs(event.clientY - this.down.clientY);
    return event.pointerType !== "touch" || along > up;
  }

  pointAt(event) {
    const box = this.element.getBoundingClientRect();
    const along = (place, length, count) => clamp(Math.floor((place / length) * count), 0, count - 1);
    return {
      x: along(event.clientX - box.left, box.width, this.width),
      y: along(event.clientY - box.top, box.height, this.height),
    };
  }

  mark(point, pinned) {
    this.cross.hidden = point === null;
    this.cross.classList.toggle("pinned", pinned);
    if (point === null) return;
    this.cross.style.setProperty("--x", `${(100 * (point.x + 0.5)) / this.width}%`);
    this.cross.style.setProperty("--y", `${(100 * (point.y + 0.5)) / this.height}%`);
  }
}
