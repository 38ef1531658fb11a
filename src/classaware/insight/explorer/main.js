// The page: what is chosen, and who must draw again when that changes.

class Explorer {
  constructor(content) {
    this.content = content;
    this.state = { image: 0, point: null, pinned: false, form: "dot", truth: true, errors: false };
    const listen = (name, point) => this.onPointer(name, point);
    this.original = new Picture("image", listen);
    this.where = make("p", { className: "verdict" });
    this.legend = make("ul", { className: "legend", "aria-label": "classes in this image" });
    this.truth = new Picture("ground truth", listen);
    this.caption = make("p", { className: "caption", text: "ground truth" });
    this.title = make("h2", { dir: "auto" });
    this.cards = content.networks.map((network, i) => new NetworkCard(i, network, content.classes, listen));
    byId("stage").append(
      make("article", { className: "card", "aria-label": "image" }, this.title, this.original.element,
        make("p", { className: "scale" }), this.where, this.legend, this.truth.element, this.caption),
      ...this.cards.map((card) => card.element));
    Object.assign(this.original.element, { tabIndex: 0 });
    const words = { role: "application", "aria-roledescription": "pixel picker", "aria-describedby": "keys" };
    for (const [name, value] of Object.entries(words)) this.original.element.setAttribute(name, value);
    this.makeControls();
    document.addEventListener("keydown", (event) => this.onKey(event));
    window.addEventListener("hashchange", () => this.readHash());
  }

  makeControls() {
    const { content, state } = this;
    byId("facts").textContent = `${count(content.images, "image")} of ${content.dataset}, ${content.split} · ` +
      `${count(content.networks, "network")} · ${count(content.classes, "class", "classes")}`;
    byId("images").append(...content.images.map((image, i) => make("label", {},
      make("input", { type: "radio", name: "image", value: i, checked: i === 0, on: { change: () => this.showImage(i) } }),
      make("img", { alt: "", src: pictureAddress(image.picture), loading: "lazy" }),
      make("span", { text: image.name, dir: "auto" }))));
    byId("networks").append(...this.cards.map((card) => make("label", {},
      make("input", { type: "checkbox", checked: true, on: { change: (event) => this.toggle(card, event.target.checked) } }),
      make("span", { text: card.network.name, dir: "auto" }))));
    for (const input of document.querySelectorAll("input[name=form]")) {
      input.addEventListener("change", () => { state.form = input.value; this.draw(); });
    }
    for (const name of ["truth", "errors"]) {
      byId(name).addEventListener("change", (event) => { state[name] = event.target.checked; this.drawLabels(); });
    }
    for (const name of ["heat", "labels"]) {
      const set = () => document.body.style.setProperty(`--${name}`, byId(name).value / 100);
      byId(name).addEventListener("input", set);
      set();
    }
    byId("tools").addEventListener("submit", (event) => event.preventDefault());
    byId("theme").addEventListener("change", (event) => { document.documentElement.dataset.theme = event.target.value; });
    this.makeMatrices();
    makeFidelity(content.networks);
  }

  makeMatrices() {
    if (!this.content.dependency.some((map) => map.rows.some((row) => row.some((value) => value !== null)))) return;
    const showImage = (i) => {
      this.showImage(i);
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      byId("stage").scrollIntoView({ behavior: still ? "auto" : "smooth" });
      this.original.element.focus({ preventScroll: true });
    };
    this.matrices = new Matrices(this.content, showImage);
    byId("dependency").querySelector(".matrices").replaceWith(this.matrices.element);
    byId("note").textContent = this.content.note;
    byId("dependency").hidden = false;
  }

  async showImage(index, point = null) {
    const entry = this.content.images[index];
    this.state.image = index;
    this.markThumbnail(index);
    const loaded = await decodeImage(entry);
    if (this.state.image !== index) return; // another one was chosen meanwhile
    this.loaded = loaded;
    const [height, width] = entry.size;
    const inside = point && point.x >= 0 && point.x < width && point.y >= 0 && point.y < height;
    this.state.pinned = Boolean(inside);
    this.state.point = inside ? point : { x: width >> 1, y: height >> 1 };
    this.title.textContent = entry.name;
    this.original.element.setAttribute("aria-label", `pixel of ${entry.name}`);
    this.original.show(loaded);
    this.truth.show(loaded);
    for (const card of this.cards) card.show(loaded);
    this.drawLegend();
    this.drawLabels();
    this.draw();
    this.settle();
  }

  markThumbnail(index) {
    const list = byId("images"), label = list.querySelectorAll("label")[index];
    label.querySelector("input").checked = true;
    const right = label.offsetLeft + label.offsetWidth - list.clientWidth;
    list.scrollLeft = clamp(list.scrollLeft, right + 8, label.offsetLeft - 8);
  }

  toggle(card, shown) {
    card.element.hidden = !shown;
    if (shown) card.drawPoint(this.state.point, this.state.pinned, this.state.form);
  }

  onPointer(name, point) {
    if (!this.loaded || (name === "move" && this.state.pinned)) return;
    if (name === "pin") {
      this.state.pinned = true;
      this.original.element.focus({ preventScroll: true });
    }
    this.moveTo(point);
  }

  onKey(event) {
    if (event.key === "Escape" && this.state.pinned) {
      this.state.pinned = false;
      this.draw();
      this.settle();
    }
    const step = document.activeElement === this.original.element ? arrow(event) : null;
    if (!step || !this.loaded) return;
    event.preventDefault();
    const [height, width] = this.loaded.entry.size;
    const far = Math.max(1, Math.round(Math.max(height, width) / 128)) * (event.shiftKey ? 8 : 1);
    const { x, y } = this.state.point;
    this.state.pinned = true;
    this.moveTo({ x: clamp(x + far * step[0], 0, width - 1), y: clamp(y + far * step[1], 0, height - 1) });
  }

  moveTo(point) {
    this.state.point = point;
    this.draw();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.settle(), 300);
  }

  // Once a frame, however fast the pointer is.
  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.drawPoint();
    });
  }

  drawPoint() {
    const { point, pinned, form } = this.state;
    const { entry, truth } = this.loaded;
    this.original.mark(point, pinned);
    this.truth.mark(point, pinned);
    const found = this.content.classes[truth[shownIndex(point, entry)]];
    this.where.replaceChildren(`x ${point.x}, y ${point.y}: `, swatch(found),
      make("strong", { text: found ? found.name : "no label", dir: "auto" }), make("em", { text: pinned ? "pinned" : "" }));
    for (const card of this.cards) if (!card.element.hidden) card.drawPoint(point, pinned, form);
  }

  drawLabels() {
    const { truth, errors } = this.state;
    this.truth.element.hidden = this.caption.hidden = !truth;
    paintLabels(this.truth.layer, this.loaded.truth, this.content.classes, () => true);
    for (const card of this.cards) card.drawPrediction(errors);
  }

  drawLegend() {
    const maps = [this.loaded.truth, ...this.loaded.views.map((view) => view.prediction)];
    const seen = new Set(maps.flatMap((map) => [...new Set(map)]));
    const entries = this.content.classes.filter((_, i) => seen.has(i));
    this.legend.replaceChildren(...entries.map((entry) => make("li", {}, swatch(entry), make("span", { text: entry.name, dir: "auto" }))));
    if (this.legend.scrollHeight > this.legend.clientHeight) this.legend.tabIndex = 0;
    else this.legend.removeAttribute("tabindex");
  }

  // What is said and remembered, once the pointer rests.
  settle() {
    const { image, point, pinned } = this.state;
    if (this.frame) { cancelAnimationFrame(this.frame); this.frame = null; this.drawPoint(); }
    const said = this.cards.filter((card) => !card.element.hidden).map((card) => card.said);
    byId("announcement").textContent = [this.where.textContent, ...said].join("; ");
    const hash = new URLSearchParams({ image: this.content.images[image].name });
    if (pinned) { hash.set("x", point.x); hash.set("y", point.y); }
    history.replaceState(null, "", `#${hash}`);
  }

  readHash() {
    const hash = new URLSearchParams(location.hash.slice(1));
    const wanted = String(new URLSearchParams({ image: hash.get("image") }));
    const index = this.content.images.findIndex((image) => String(new URLSearchParams({ image: image.name })) === wanted);
    const point = index >= 0 && hash.get("x") && hash.get("y") ? { x: Math.round(hash.get("x")), y: Math.round(hash.get("y")) } : null;
    return this.showImage(Math.max(index, 0), point);
  }
}

function report(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

let explorer;
if (typeof DecompressionStream === "undefined") {
  report("This browser cannot unpack the page's data: use Chromium 105, Firefox 121, Safari 16.4, or a newer one.");
} else {
  explorer = new Explorer(JSON.parse(byId("content").textContent));
  explorer.readHash().catch((error) => report(`The page's data cannot be read: ${error.message}`));
}
