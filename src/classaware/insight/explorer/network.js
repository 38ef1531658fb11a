// What one network makes of the image and of the pixel.

class NetworkCard {
  constructor(number, network, classes, listen) {
    Object.assign(this, { number, network, classes });
    this.heat = new Picture(`relation map of ${network.name}`, listen);
    this.heat.element.classList.add("heat");
    this.prediction = new Picture(`prediction of ${network.name}`, listen);
    this.scale = make("p", { className: "scale" }, make("span"), make("i"), make("span"));
    this.scale.children[1].style.background = gradient(INFERNO);
    this.verdict = make("p", { className: "verdict" });
    this.bars = make("ol", { className: "bars", "aria-label": `most probable classes, ${network.name}` });
    this.wrong = make("span");
    this.element = make("article", { className: "card", "aria-label": network.name },
      make("h2", { text: network.name, dir: "auto" }), this.heat.element, this.scale, this.verdict, this.bars,
      this.prediction.element, make("p", { className: "caption" }, this.wrong));
  }

  show(loaded) {
    this.loaded = loaded;
    this.view = loaded.views[this.number];
    this.heat.show(loaded);
    this.prediction.show(loaded);
  }

  isWrong(i) {
    const truth = this.loaded.truth[i];
    return truth < this.classes.length && truth !== this.view.prediction[i];
  }

  drawPrediction(errorsOnly) {
    const { truth } = this.loaded;
    let wrong = 0, labeled = 0;
    for (let i = 0; i < truth.length; i++) {
      if (truth[i] < this.classes.length) labeled++;
      if (this.isWrong(i)) wrong++;
    }
    paintLabels(this.prediction.layer, this.view.prediction, this.classes, errorsOnly ? (i) => this.isWrong(i) : () => true);
    const share = labeled ? `${percent(wrong / labeled)} of the labeled pixels wrong` : "no labeled pixels";
    this.wrong.textContent = `prediction${errorsOnly ? ", errors only" : ""}: ${share}`;
  }

  drawPoint(point, pinned, form) {
    this.heat.mark(point, pinned);
    this.prediction.mark(point, pinned);
    const { entry } = this.loaded;
    const cell = cellOf(point, entry.size, this.view.grid);
    const map = relationMap(this.view, cell, form, this.network.channels);
    const ends = range(map);
    paintHeat(this.heat.layer, enlarge(map, this.view.grid, entry.shown), ends, INFERNO);
    this.scale.children[0].textContent = short(ends[0]);
    this.scale.children[2].textContent = short(ends[1]);
    this.drawClasses(cell, shownIndex(point, entry));
  }

  drawClasses(cell, index) {
    const { view, classes } = this;
    const truth = this.loaded.truth[index];
    const predicted = classes[view.prediction[index]];
    const word = truth >= classes.length ? "no label" : this.isWrong(index) ? "wrong" : "right";
    this.verdict.replaceChildren("predicts ", swatch(predicted), make("strong", { text: predicted.name, dir: "auto" }),
      make("em", { className: word.replace(" ", "-"), text: word }));
    const rows = [];
    for (let i = cell * view.each; i < (cell + 1) * view.each; i++) {
      const share = view.shares[i];
      const bar = make("i", {}, make("i"));
      bar.firstChild.style.width = `${100 * share}%`;
      bar.firstChild.style.background = `rgb(${classes[view.top[i]].color.join(",")})`;
      const name = classes[view.top[i]].name;
      const right = view.top[i] === truth;
      rows.push(make("li", { className: right ? "true" : "" },
        make("span", { className: "name", text: name, title: name, dir: "auto" }), bar,
        make("span", { className: "share", text: percent(share) })));
    }
    this.bars.replaceChildren(...rows);
    this.said = `${this.network.name}: ${predicted.name}, ${word}`;
  }
}

// Where the labels as shown hold a pixel of the image.
function shownIndex(point, entry) {
  const row = nearest(point.y, entry.shown[0], entry.size[0]);
  return row * entry.shown[1] + nearest(point.x, entry.shown[1], entry.size[1]);
}
