// Numbers and classes as colors.

// Thirteen points of matplotlib's maps, as red, green and blue in hexadecimal.
const INFERNO = ramp("000004 110a30 320a5e 57106e 781c6d 9a2865 bc3754 d84c3e ed6925 f98e09 fbb61a f4df53 fcffa4");
const VIRIDIS = ramp("440154 481f70 443983 3b528b 31688e 287c8e 21918c 20a486 35b779 5ec962 90d743 c8e020 fde725");

// 256 colors along the points.
function ramp(text) {
  const points = text.split(" ").map((code) => [0, 2, 4].map((at) => parseInt(code.slice(at, at + 2), 16)));
  const colors = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * (points.length - 1);
    const lower = Math.min(Math.floor(place), points.length - 2);
    for (let c = 0; c < 3; c++) {
      colors[3 * i + c] = points[lower][c] + (points[lower + 1][c] - points[lower][c]) * (place - lower);
    }
  }
  return colors;
}

function level(value, low, high) {
  return high > low ? Math.round((255 * (Math.min(Math.max(value, low), high) - low)) / (high - low)) : 0;
}

function paintHeat(canvas, values, [low, high], colors) {
  paint(canvas, (data) => {
    for (let i = 0; i < values.length; i++) {
      const from = 3 * level(values[i], low, high);
      data[4 * i] = colors[from];
      data[4 * i + 1] = colors[from + 1];
      data[4 * i + 2] = colors[from + 2];
      data[4 * i + 3] = 255;
    }
  });
}

// Label maps; what is no class, or not `wanted(i)`, stays clear.
function paintLabels(canvas, labels, classes, wanted) {
  paint(canvas, (data) => {
    for (let i = 0; i < labels.length; i++) {
      const found = classes[labels[i]];
      if (!found || !wanted(i)) continue;
      data.set(found.color, 4 * i);
      data[4 * i + 3] = 255;
    }
  });
}

function paint(canvas, fill) {
  const pixels = new ImageData(canvas.width, canvas.height);
  fill(pixels.data);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

function gradient(colors) {
  const stops = [];
  for (let i = 0; i < 256; i += 15) stops.push(`rgb(${colors[3 * i]},${colors[3 * i + 1]},${colors[3 * i + 2]})`);
  return `linear-gradient(to right,${stops.join(",")})`;
}
