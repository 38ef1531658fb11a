// Relation maps (Fig. 5 of the CAR paper). Grids and images lie on each other with aligned corners.

// Index of the source position nearest to each of `sizeOut` positions, in integers.
function nearest(index, sizeIn, sizeOut) {
  const steps = Math.max(sizeOut - 1, 1);
  return Math.floor((2 * index * (sizeIn - 1) + steps) / (2 * steps));
}

function cellOf(point, size, grid) {
  return nearest(point.y, grid[0], size[0]) * grid[1] + nearest(point.x, grid[1], size[1]);
}

// Levels (cells, components) to values, in float32.
function dequantize(levels, low, step) {
  const values = new Float32Array(levels.length);
  for (let i = 0, d = 0; i < levels.length; i++) {
    values[i] = low[d] + Math.fround(step[d] * levels[i]);
    if (++d === low.length) d = 0;
  }
  return values;
}

// <x_q, x_p> / sqrt(channels), or the cosine, of the cell q with every cell p.
function relationMap(view, cell, form, channels) {
  const { values, grid } = view;
  const cells = grid[0] * grid[1];
  const count = values.length / cells;
  const query = values.subarray(cell * count, (cell + 1) * count);
  const lengths = form === "cosine" ? (view.lengths ??= cellLengths(values, cells)) : null;
  const result = new Float32Array(cells);
  for (let p = 0, i = 0; p < cells; p++) {
    let sum = 0;
    for (let d = 0; d < count; d++) sum += query[d] * values[i++];
    const scale = lengths ? lengths[p] * lengths[cell] : Math.sqrt(channels);
    result[p] = scale > 0 ? sum / scale : 0;
  }
  return result;
}

function cellLengths(values, cells) {
  const count = values.length / cells;
  const lengths = new Float64Array(cells);
  for (let p = 0, i = 0; p < cells; p++) {
    let sum = 0;
    for (let d = 0; d < count; d++, i++) sum += values[i] * values[i];
    lengths[p] = Math.sqrt(sum);
  }
  return lengths;
}

// Bilinear from (height, width) = grid to size.
function enlarge(values, grid, size) {
  const result = new Float32Array(size[0] * size[1]);
  const columns = neighbors(grid[1], size[1]);
  const rows = neighbors(grid[0], size[0]);
  for (let y = 0, i = 0; y < size[0]; y++) {
    const above = rows.lower[y] * grid[1];
    const below = rows.upper[y] * grid[1];
    for (let x = 0; x < size[1]; x++) {
      const left = columns.lower[x], right = columns.upper[x], share = columns.share[x];
      const first = values[above + left] + (values[above + right] - values[above + left]) * share;
      const second = values[below + left] + (values[below + right] - values[below + left]) * share;
      result[i++] = first + (second - first) * rows.share[y];
    }
  }
  return result;
}

function neighbors(sizeIn, sizeOut) {
  const axis = { lower: new Int32Array(sizeOut), upper: new Int32Array(sizeOut), share: new Float32Array(sizeOut) };
  const steps = Math.max(sizeOut - 1, 1);
  for (let i = 0; i < sizeOut; i++) {
    const lower = Math.floor((i * (sizeIn - 1)) / steps);
    axis.lower[i] = lower;
    axis.upper[i] = Math.min(lower + 1, sizeIn - 1);
    axis.share[i] = (i * (sizeIn - 1) - lower * steps) / steps;
  }
  return axis;
}

function range(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
