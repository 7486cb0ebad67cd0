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

/** {blob, width, height}: a copy whose longest side is `side` at most, and the size of the picture; or null. */
export const shrink = (blob, side, quality) => inTurn(async () => {
  const bitmap = await decode(blob);
  if (!bitmap) return null;
  const { width, height } = bitmap;
  const scale = Math.min(1, side / Math.max(width, height));
  const small = await draw(width * scale, height * scale, (context, w, h) => context.drawImage(bitmap, 0, 0, w, h), "image/jpeg", quality);
  bitmap.close();
  return { blob: small, width, height };
});

/** The square around `box` in pixels of the upright picture, `side` pixels large; or null. */
export const cut = (blob, box, side) => inTurn(async () => {
  const bitmap = await decode(blob);
  if (!bitmap) return null;
  const { width, height } = bitmap;
  const from = box ? Math.min(Math.max(box.width, box.height) * 1.5, width, height) : Math.min(width, height);
  const center = box ? { x: box.x + box.width / 2, y: box.y + box.height / 2 } : { x: width / 2, y: height / 2 };
  const left = Math.min(Math.max(center.x - from / 2, 0), width - from);
  const top = Math.min(Math.max(center.y - from / 2, 0), height - from);
  const made = await draw(side, side, (context) => context.drawImage(bitmap, left, top, from, from, 0, 0, side, side));
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
