// Class-dependency matrices side by side, one scale and one chosen field for all of them.

const NAMED = 24; // classes whose names fit beside the fields

class Matrices {
  constructor(content, showImage) {
    Object.assign(this, { content, showImage, kept: false });
    const maps = content.dependency;
    this.present = content.classes.map((_, i) => i).filter((i) => maps.some((map) => map.rows[i][i] !== null));
    this.ends = this.findEnds(maps);
    this.canvases = maps.map((map) => this.makeCanvas(map));
    this.readout = make("div", { className: "readout", "aria-live": "polite" });
    this.element = make("div", { className: "matrices" },
      ...maps.map((map, i) => make("figure", {}, make("figcaption", { text: map.name, dir: "auto" }),
        this.withNames(this.canvases[i].parentElement), this.makeScale())),
      this.readout);
    if (this.ends[0] === 0) byId("root").textContent = "; colors follow its square root";
    this.choose(0, Math.min(1, this.present.length - 1));
  }

  findEnds(maps) {
    const values = maps.flatMap((map) => map.rows.flatMap((row, i) => row.filter((value, j) => value !== null && i !== j)));
    const [low, high] = range(values.length ? values : [0, 1]);
    return [Math.min(low, 0), high];
  }

  // As in the figures of the insight commands, a square root shows what is small.
  shade(value) {
    const [low, high] = this.ends;
    return low < 0 ? level(value, low, high) : level(Math.sqrt(Math.max(value, 0)), 0, Math.sqrt(high));
  }

  makeCanvas(map) {
    const n = this.present.length;
    const canvas = make("canvas", { width: n, height: n });
    paint(canvas, (data) => {
      this.present.forEach((row, i) => this.present.forEach((column, j) => {
        const value = map.rows[row][column];
        if (value === null) return;
        const from = 3 * this.shade(value);
        data.set([...VIRIDIS.subarray(from, from + 3), 255], 4 * (i * n + j));
      }));
    });
    const frame = make("span", { className: "frame" });
    make("div", {
      className: "matrix", tabIndex: 0, role: "application", "aria-roledescription": "matrix",
      "aria-label": `class dependency of ${map.name}; arrow keys choose a field`,
      on: {
        pointermove: (event) => this.kept || this.chooseAt(event),
        click: (event) => { this.kept = true; this.chooseAt(event); },
        keydown: (event) => this.onKey(event),
        focus: () => this.choose(this.row, this.column),
      },
    }, canvas, frame);
    return canvas;
  }

  // Names along the sides where there is room for letters; they are read at the chosen field in any case.
  withNames(matrix) {
    if (this.present.length > NAMED) return matrix;
    const axis = (kind) => make("div", { className: `axis ${kind}`, "aria-hidden": "true" },
      ...this.present.map((i) => make("span", { text: this.content.classes[i].name, dir: "auto" })));
    return make("div", { className: "named" }, axis("down"), matrix, axis("across"));
  }

  makeScale() {
    const scale = make("p", { className: "scale" }, make("span", { text: short(this.ends[0]) }), make("i"),
      make("span", { text: short(this.ends[1]) }));
    scale.children[1].style.background = gradient(VIRIDIS);
    return scale;
  }

  chooseAt(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const n = this.present.length;
    this.choose(clamp(Math.floor(((event.clientY - box.top) / box.height) * n), 0, n - 1),
      clamp(Math.floor(((event.clientX - box.left) / box.width) * n), 0, n - 1));
  }

  onKey(event) {
    const step = arrow(event);
    if (event.key === "Escape") this.kept = false;
    if (!step) return;
    event.preventDefault();
    const far = event.shiftKey ? 5 : 1, last = this.present.length - 1;
    this.kept = true;
    this.choose(clamp(this.row + far * step[1], 0, last), clamp(this.column + far * step[0], 0, last));
  }

  choose(row, column) {
    if (this.present.length === 0 || (row === this.row && column === this.column)) return;
    Object.assign(this, { row, column });
    for (const canvas of this.canvases) {
      const style = canvas.nextSibling.style;
      style.setProperty("--row", row);
      style.setProperty("--column", column);
      style.setProperty("--count", this.present.length);
    }
    this.describe(this.present[row], this.present[column]);
  }

  describe(row, column) {
    const { classes, images, dependency } = this.content;
    const named = (i) => [swatch(classes[i]), make("strong", { text: classes[i].name, dir: "auto" })];
    const title = row === column
      ? make("p", { className: "pair" }, ...named(row), " on itself")
      : make("p", { className: "pair" }, ...named(row), " on ", ...named(column));
    const values = make("dl", {}, ...dependency.flatMap((map) => {
      const value = map.rows[row][column];
      return [make("dt", { text: map.name, dir: "auto" }), make("dd", { text: value === null ? "–" : short(value) })];
    }));
    const both = images.flatMap((image, i) => (image.classes.includes(row) && image.classes.includes(column) ? [i] : []));
    const what = row === column ? "it" : "both";
    const links = both.map((i) => make("li", {}, make("button", {
      type: "button", text: images[i].name, dir: "auto", on: { click: () => this.showImage(i) },
    })));
    const found = both.length ? `${both.length} of the ${images.length} images here ${both.length === 1 ? "holds" : "hold"} ${what}:` : `No image here holds ${what}.`;
    this.readout.replaceChildren(title, values, make("p", { text: found }), make("ul", { className: "links" }, ...links));
  }
}
