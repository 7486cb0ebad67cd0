// The tray: photographs that were chosen and not yet sent, one of which is shown large.

import { drawInto } from "./boxes.js";
import { acceptFiles, byId, make, show, showBlob, thumbnail } from "./dom.js";
import { Photo } from "./photo.js";
import { form as words, labels } from "./words.js";

export const photos = [];
let current = null;
let shown = null; // the file on the stage
let onChange = () => {};
let soon = 0; // hundreds are looked at one after the other: the page is drawn once for several

export const currentPhoto = () => current;

export function addPhotos(files) {
  const added = files.map((file) => new Photo(file));
  photos.push(...added);
  current ||= added[0] || null;
  onChange();
  for (const photo of added) {
    photo.look().then(() => {
      cards.delete(photo);
      soon ||= setTimeout(() => { soon = 0; onChange(); }, 100);
    });
  }
}

export function clearPhotos() {
  photos.length = 0;
  cards.clear();
  current = null;
  onChange();
}

function removePhoto(photo) {
  const index = photos.indexOf(photo);
  photos.splice(index, 1);
  cards.delete(photo);
  if (current === photo) current = photos[Math.min(index, photos.length - 1)] || null;
  onChange();
}

async function turnCurrent() {
  const photo = current;
  const turned = await photo.turned(1);
  const index = photos.indexOf(photo);
  if (!turned || index < 0) return;
  photos[index] = turned;
  cards.delete(photo);
  if (current === photo) current = turned;
  onChange();
}

export function renderTray() {
  show("chosen", Boolean(current));
  byId("photos-verb").textContent = photos.length ? words.chooseMore : labels.choosePhotographs;
  show("tray-tools", photos.length > 1);
  byId("tray").replaceChildren(...(photos.length > 1 ? photos.map(renderThumb) : []));
  byId("photo-name").textContent = current ? words.sizes(current) : "";
  show("turn", Boolean(current?.size));
  show("stage", Boolean(current) && !(current.seen && !current.size));
  show("unseen", Boolean(current?.seen && !current.size));
  drawInto(current);
  if (shown !== (current?.file ?? null)) {
    shown = current?.file ?? null;
    showBlob(byId("preview"), shown);
  }
  byId("preview").alt = current?.name ?? "";
}

const cards = new Map(); // made once, since hundreds take a while

function renderThumb(photo) {
  let card = cards.get(photo);
  if (!card) {
    const pick = make("button", { type: "button", className: "pick", ariaLabel: photo.name }, thumbnail(photo.thumb));
    pick.onclick = () => { current = photo; onChange(); };
    const remove = make("button", { type: "button", className: "remove", textContent: "×", ariaLabel: labels.remove + " " + photo.name });
    remove.onclick = () => { removePhoto(photo); byId("photos").focus(); };
    card = make("li", {}, pick, remove, make("span", { className: "name" }, photo.name));
    cards.set(photo, card);
  }
  card.classList.toggle("current", photo === current);
  card.firstChild.ariaPressed = String(photo === current);
  return card;
}

export function onTray(render) {
  onChange = render;
  acceptFiles(byId("photos-area"), addPhotos);
  byId("remove-photo").onclick = () => { removePhoto(current); byId("photos").focus(); };
  byId("clear-photos").onclick = () => { clearPhotos(); byId("photos").focus(); };
  byId("turn").onclick = turnCurrent;
}
