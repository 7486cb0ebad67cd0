// Before and after, one over the other with a line that is moved; and closer views of faces.

import { asBox, byId, clamp, make, place, show, showBlob } from "./dom.js";

const FILLED = 0.7; // share of a closer view that a face takes up

let size = null; // of the photograph

/** Shows both, or whichever can be shown; gives the sizes {before, after}, null for what cannot. */
export async function showPair(before, after) {
  const [one, two] = await Promise.all([showBlob(byId("before"), before), showBlob(byId("after"), after)]);
  return { before: one, after: two };
}

/** `pictures`: the size of the photograph in which faces lie, or null if none can be shown. `both`: whether there are two. */
export function layOut(pictures, both) {
  size = pictures;
  const compare = byId("compare");
  show("compare", Boolean(size));
  compare.classList.toggle("single", !both);
  // Where only the result can be shown, it takes the place of the picture before.
  if (!both && byId("after").src) byId("before").src = byId("after").src;
  if (!size) return;
  const ratio = size.width / size.height;
  compare.style.aspectRatio = String(ratio);
  compare.style.width = "min(100%, " + 75 * ratio + "vh)";
  look(null);
}

/** Shows only this part of the photograph, enlarged: a box around a face, or null for all of it. */
export function look(box) {
  const scale = box ? clamp(FILLED * Math.min(size.width / box.width, size.height / box.height), 1, 40) : 1;
  const part = { width: size.width / scale, height: size.height / scale };
  const left = box ? clamp(box.x + box.width / 2 - part.width / 2, 0, size.width - part.width) : 0;
  const top = box ? clamp(box.y + box.height / 2 - part.height / 2, 0, size.height - part.height) : 0;
  for (const view of byId("compare").querySelectorAll(".view")) {
    view.style.transform = "scale(" + scale + ") translate(" + -left / size.width * 100 + "%, " + -top / size.height * 100 + "%)";
  }
  setCut(box ? (box.x + box.width / 2 - left) / part.width * 100 : 50);
  byId("compare").classList.toggle("closer", scale > 1);
  byId("whole").disabled = scale === 1;
  if (box) byId("compare").scrollIntoView({ block: "nearest" });
}

export function setCut(percent) {
  byId("cut").value = percent;
  byId("compare").style.setProperty("--cut", percent + "%");
}

/** Cuts through the middle of a face, not beside it. */
export const cutThrough = (box) => setCut((box.x + box.width / 2) / size.width * 100);

/** Boxes around these faces, with their numbers: [{face, number}]. */
export function markFaces(faces) {
  byId("found").replaceChildren(...faces.map(({ face, number }) => {
    const mark = make("div", { className: "mark " + face.action }, make("b", {}, String(number)));
    place(mark, asBox(face.box), size);
    return mark;
  }));
}

export function onCompare() {
  byId("cut").oninput = () => setCut(byId("cut").value);
  byId("whole").onclick = () => look(null);
  byId("boxes-shown").onchange = () => show("found", byId("boxes-shown").checked);
}
