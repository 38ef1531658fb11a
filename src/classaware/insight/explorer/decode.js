// The arrays of the page: base64 of zlib of little-endian numbers.

const NUMBERS = { u1: Uint8Array, u2: Uint16Array, f4: Float32Array };

function blobText(reference) {
  return document.getElementById(`blob-${reference.blob}`).textContent;
}

function pictureAddress(reference) {
  return `data:${reference.type};base64,${blobText(reference)}`;
}

async function decodeArray(reference) {
  const packed = Uint8Array.from(atob(blobText(reference)), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = await new Response(stream).arrayBuffer();
  return new NUMBERS[reference.type](bytes);
}

// Everything that is looked at in one image, ready to compute with.
async function decodeImage(entry) {
  const [truth, ...views] = await Promise.all([decodeArray(entry.truth), ...entry.views.map(decodeView)]);
  return { entry, truth, views, picture: pictureAddress(entry.picture) };
}

async function decodeView(view) {
  const names = ["levels", "low", "step"];
  const [prediction, top, shares, levels, low, step] = await Promise.all([
    decodeArray(view.prediction), decodeArray(view.top), decodeArray(view.shares),
    ...names.map((name) => decodeArray(view.features[name])),
  ]);
  const values = dequantize(levels, low, step);
  return { grid: view.features.grid, values, prediction, top, shares: shareValues(shares, view.shares.shape), each: view.top.shape[2] };
}

// Bytes (2, T, h, w) of thousandths, high ones first, to (h, w, T).
function shareValues(bytes, [, each, height, width]) {
  const cells = height * width, half = each * cells;
  return Float32Array.from({ length: half }, (_, i) => {
    const at = (i % each) * cells + Math.floor(i / each);
    return (256 * bytes[at] + bytes[half + at]) / 1000;
  });
}
