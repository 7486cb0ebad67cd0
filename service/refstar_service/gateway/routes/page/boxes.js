// Boxes that are drawn into the photograph on the stage, by pointer or by keys.

import { byId, clamp, make, place } from "./dom.js";
import { choose, faceMode } from "./choices.js";
import { form as words } from "./words.js";

export const MOST_BOXES = 32;
const LEAST_DRAG = 6; // pixels of the screen: less is a click

let photo = null;
let onChange = () => {};

/** The photograph whose boxes are drawn; null for none. */
export function drawInto(chosen) { photo = chosen; }

export function renderBoxes() {
  const drawable = faceMode() === "boxes" && Boolean(photo?.size);
  const boxes = drawable ? photo.boxes : [];
  byId("stage").classList.toggle("drawing", drawable);
  byId("box-tools").hidden = !drawable;
  byId("clear-boxes").disabled = !boxes.length;
  byId("add-box").disabled = boxes.length >= MOST_BOXES;
  byId("marks").replaceChildren(...boxes.map((box, index) => {
    const remove = make("button", { type: "button", tabIndex: -1, textContent: "×", title: words.removeBox });
    const mark = make("div", { className: "mark", tabIndex: 0, role: "group", ariaLabel: words.box(index + 1, box) },
      make("b", {}, String(index + 1)), remove, make("i"));
    remove.onclick = () => removeBox(index);
    mark.onkeydown = (event) => steer(event, index);
    place(mark, box, photo.size);
    return mark;
  }));
}

function removeBox(index) {
  photo.boxes.splice(index, 1);
  onChange();
  (byId("marks").children[Math.min(index, photo.boxes.length - 1)] || byId("add-box")).focus();
}

function moveBox(box, x, y) {
  box.x = clamp(x, 0, photo.size.width - box.width);
  box.y = clamp(y, 0, photo.size.height - box.height);
}

function resizeBox(box, width, height) {
  box.width = clamp(width, 4, photo.size.width - box.x);
  box.height = clamp(height, 4, photo.size.height - box.y);
}

function steer(event, index) {
  const box = photo.boxes[index];
  const step = Math.max(1, Math.round(photo.size.width / 100));
  const [dx, dy] = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key] || [0, 0];
  if (event.key === "Delete" || event.key === "Backspace") removeBox(index);
  else if (!dx && !dy) return;
  else {
    if (event.shiftKey) resizeBox(box, box.width + dx, box.height + dy); else moveBox(box, box.x + dx, box.y + dy);
    renderBoxes();
    byId("marks").children[index].focus();
  }
  event.preventDefault();
}

export function addBox() {
  const { width, height } = photo.size;
  const side = Math.min(width, height) / 3;
  const shift = photo.boxes.length % 5 * side / 5;
  photo.boxes.push({ x: (width - side) / 2 + shift, y: (height - side) / 3 + shift, width: side, height: side });
  onChange();
  byId("marks").lastElementChild.focus();
}

function begin(event) {
  // A finger scrolls the page unless boxes were asked for; a mouse may begin one at any time.
  if (event.button || !photo?.size || event.target.tagName === "BUTTON" || faceMode() === "aligned") return;
  if (faceMode() !== "boxes" && event.pointerType === "touch") return;
  const stage = byId("stage");
  const bounds = byId("preview").getBoundingClientRect();
  const pixels = photo.size.width / bounds.width;
  const at = (moved) => ({
    x: clamp((moved.clientX - bounds.left) * pixels, 0, photo.size.width),
    y: clamp((moved.clientY - bounds.top) * pixels, 0, photo.size.height),
  });
  const from = at(event);
  const mark = event.target.closest(".mark");
  const index = mark ? [...byId("marks").children].indexOf(mark) : faceMode() === "boxes" ? photo.boxes.length : 0;
  if (index >= MOST_BOXES) return;
  const original = mark ? { ...photo.boxes[index] } : null;
  const corner = event.target.tagName === "I";
  let begun = false;
  event.preventDefault();
  stage.setPointerCapture(event.pointerId);
  stage.onpointermove = (moved) => {
    const now = at(moved);
    if (!mark) {
      begun ||= Math.max(Math.abs(now.x - from.x), Math.abs(now.y - from.y)) >= LEAST_DRAG * pixels;
      if (!begun) return; // a click, so far
      if (faceMode() !== "boxes") { choose("faces", "boxes"); photo.boxes = []; }
      photo.boxes[index] = {
        x: Math.min(from.x, now.x), y: Math.min(from.y, now.y),
        width: Math.max(1, Math.abs(now.x - from.x)), height: Math.max(1, Math.abs(now.y - from.y)),
      };
    } else if (corner) resizeBox(photo.boxes[index], original.width + now.x - from.x, original.height + now.y - from.y);
    else moveBox(photo.boxes[index], original.x + now.x - from.x, original.y + now.y - from.y);
    renderBoxes();
  };
  stage.onpointerup = stage.onpointercancel = () => {
    stage.onpointermove = stage.onpointerup = stage.onpointercancel = null;
    const least = LEAST_DRAG * pixels;
    if (!mark) photo.boxes = photo.boxes.filter((box) => box.width >= least && box.height >= least);
    onChange();
    byId("marks").children[Math.min(index, photo.boxes.length - 1)]?.focus({ focusVisible: false });
  };
}

export function onBoxes(render) {
  onChange = render;
  byId("stage").onpointerdown = begin;
  byId("add-box").onclick = addBox;
  byId("clear-boxes").onclick = () => { photo.boxes = []; render(); };
}
