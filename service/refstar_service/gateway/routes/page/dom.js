// Elements: found, made, placed, shown; and files that are dropped on them.

export const byId = (id) => document.getElementById(id);
export const show = (id, visible) => { byId(id).hidden = !visible; };

/** An element with these properties and children; children that are null or "" are left out. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

export const clamp = (value, least, most) => Math.min(Math.max(value, least), Math.max(least, most));

/** `box` and `size` in pixels of the picture that `element` lies on. */
export const place = (element, box, size) => Object.assign(element.style, {
  left: box.x / size.width * 100 + "%", top: box.y / size.height * 100 + "%",
  width: box.width / size.width * 100 + "%", height: box.height / size.height * 100 + "%",
});

export const asBox = ([x, y, width, height]) => ({ x, y, width, height });

/** Shows a blob in an image. The size of the upright picture, or null where this browser cannot show it. */
export function showBlob(image, blob) {
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
  if (!blob) return Promise.resolve(null);
  return new Promise((resolve) => {
    image.onload = () => resolve({ width: image.naturalWidth, height: image.naturalHeight });
    image.onerror = () => { image.removeAttribute("src"); resolve(null); };
    image.src = URL.createObjectURL(blob);
  });
}

/** A small picture of a blob, or an empty place of the same size. Its address lasts as long as the page needs it. */
export function thumbnail(blob, className = "thumb", alt = "") {
  const image = make("img", { className, alt });
  if (!blob) return make("span", { className: className + " nothing", ariaHidden: "true" });
  image.src = URL.createObjectURL(blob);
  image.onload = () => URL.revokeObjectURL(image.src);
  image.onerror = () => { URL.revokeObjectURL(image.src); image.replaceWith(thumbnail(null, className)); };
  return image;
}

/** Files dropped on `element` or chosen in the input within it go to `take`. */
export function acceptFiles(element, take) {
  const over = (event, is) => { event.preventDefault(); event.stopPropagation(); element.classList.toggle("over", is); };
  element.ondragover = (event) => over(event, true);
  element.ondragleave = (event) => over(event, false);
  element.ondrop = (event) => { over(event, false); take([...event.dataTransfer.files]); };
  const input = element.querySelector("input[type=file]");
  input.onchange = () => { take([...input.files]); input.value = ""; };
}

/** The types of pictures that dialogs for files offer; the service looks at the bytes. */
export const PICTURES = "image/jpeg,image/png,image/webp,image/tiff,image/bmp,image/avif,image/heic,image/heif,image/jp2," +
  "image/gif,.heic,.heif,.jp2";

/** Says it to those who hear the page: one thing at a time, and no more than one in two seconds. */
let spoken = "", timer = 0;
export function announce(text) {
  spoken = text;
  timer ||= setTimeout(() => { timer = 0; if (byId("live").textContent !== spoken) byId("live").textContent = spoken; }, 2000);
}
