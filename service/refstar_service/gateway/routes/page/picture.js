// Pictures in the browser: made small, cut, turned. One is decoded at a time, since one of 50 megapixels takes 200 MB.

let last = Promise.resolve();

/** Work on decoded pictures, in turn. */
function inTurn(work) {
  const mine = last.then(work);
  last = mine.catch(() => {});
  return mine;
}

// Upright: browsers follow EXIF too. Null for what this browser cannot show, such as TIFF.
async function decode(blob) {
  try { return await createImageBitmap(blob); } catch { return null; }
}

function draw(width, height, paint, type = "image/jpeg", quality = 0.85) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)) });
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  paint(context, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, type, quality));
}

function join(one, other) {
  const x = Math.min(one.x, other.x), y = Math.min(one.y, other.y);
  return { x, y, width: Math.max(one.x + one.width, other.x + other.width) - x, height: Math.max(one.y + one.height, other.y + other.height) - y };
}

const longest = (box) => Math.max(box.width, box.height);

/** The box around the largest of these boxes and as many others as fit into a square of this side; null without any. */
export function gather(boxes, side) {
  const [first = null, ...others] = [...boxes].sort((one, other) => longest(other) - longest(one));
  return others.reduce((held, box) => (longest(join(held, box)) <= side ? join(held, box) : held), first);
}

// The square with `box` in its middle, or that of the picture: `room` times as large as the box, and `least` pixels at least.
function squareAround(box, { width, height }, room, least = 0) {
  const { x, y, width: across, height: down } = box || { x: 0, y: 0, width, height };
  const side = Math.min(Math.max(Math.max(across, down) * room, least), width, height);
  const place = (middle, length) => Math.min(Math.max(middle - side / 2, 0), length - side);
  return { left: place(x + across / 2, width), top: place(y + down / 2, height), side };
}

const drawSquare = (bitmap, { left, top, side }, size, quality) =>
  draw(size, size, (context, w, h) => context.drawImage(bitmap, left, top, side, side, 0, 0, w, h), "image/jpeg", quality);

/**
 * {blob, width, height}: a copy whose longest side is `side` at most, and the size of the picture; or null. With `boxes`, a
 * square around them, large enough to know the picture again; of boxes that are too far apart, around the largest.
 */
export const shrink = (blob, side, { quality, boxes = [] } = {}) => inTurn(async () => {
  const bitmap = await decode(blob);
  if (!bitmap) return null;
  const { width, height } = bitmap;
  const scale = Math.min(1, side / Math.max(width, height)), shorter = Math.min(width, height);
  const square = boxes.length ? squareAround(gather(boxes, shorter), bitmap, 2.5, shorter / 2) : null;
  const small = square ? await drawSquare(bitmap, square, Math.min(side, square.side), quality)
    : await draw(width * scale, height * scale, (context, w, h) => context.drawImage(bitmap, 0, 0, w, h), "image/jpeg", quality);
  bitmap.close();
  return { blob: small, width, height };
});

/** The square around `box` in pixels of the upright picture, `side` pixels large; or null. */
export const cut = (blob, box, side) => inTurn(async () => {
  const bitmap = await decode(blob);
  if (!bitmap) return null;
  const made = await drawSquare(bitmap, squareAround(box, bitmap, 1.5), side);
  bitmap.close();
  return made;
});

/** The picture turned to the right by so many quarters, as a file of its own: JPEG stays JPEG, all else becomes PNG. */
export const turn = (file, quarters) => inTurn(async () => {
  const bitmap = await decode(file);
  if (!bitmap) return null;
  const { width, height } = bitmap;
  const type = file.type === "image/jpeg" ? "image/jpeg" : "image/png";
  const size = quarters % 2 ? [height, width] : [width, height];
  const made = await draw(...size, (context, w, h) => {
    context.translate(w / 2, h / 2);
    context.rotate(quarters * Math.PI / 2);
    context.drawImage(bitmap, -width / 2, -height / 2);
  }, type, 0.98);
  bitmap.close();
  const name = type === file.type ? file.name : file.name.replace(/(\.\w+)?$/, ".png");
  return new File([made], name, { type });
});
