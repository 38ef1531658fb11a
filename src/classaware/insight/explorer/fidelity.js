// How well the maps agree with the exact ones.

function makeFidelity(networks) {
  const cells = (kind, texts) => make("tr", {}, ...texts.map((text, i) => make(kind && i ? kind : "th", {
    text, className: i ? "number" : "", scope: kind === "td" ? "row" : "col", dir: "auto",
  })));
  // Cut, not rounded: 0.99999 is not 1.
  const digits = (value) => (value === null ? "–" : (Math.floor(value * 1e5) / 1e5).toFixed(5));
  const titles = ["network", "channels", "components", "energy kept", "dot: mean", "dot: least", "cosine: mean", "cosine: least"];
  byId("fidelity").append(make("thead", {}, cells("th", titles)), make("tbody", {}, ...networks.map((network) => {
    const { dot, cosine } = network.correlation;
    return cells("td", [network.name, network.channels, network.components, percent(network.kept, 3),
      ...[dot.mean, dot.minimum, cosine.mean, cosine.minimum].map(digits)]);
  })));
}
