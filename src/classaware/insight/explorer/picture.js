// An image with a layer over it and a crosshair; tells where the pointer is, in the image's own pixels.

class Picture {
  constructor(label, listen) {
    this.image = make("img", { alt: "", draggable: false });
    this.layer = make("canvas", { width: 1, height: 1 });
    this.cross = make("span", { className: "cross", hidden: true }, make("i"), make("i"), make("b"));
    this.element = make("div", { className: "picture", role: "img", "aria-label": label }, this.image, this.layer, this.cross);
    const tell = (name) => (event) => listen(name, this.pointAt(event));
    this.element.addEventListener("pointermove", tell("move"));
    this.element.addEventListener("pointerdown", tell("move"));
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
