// The report: what was done with each face and each reference, and why, in sentences.

import { asBox, byId, make, show, thumbnail } from "./dom.js";
import { look } from "./compare.js";
import { report as words } from "./words.js";

const LITTLE = 0.03; // share of a face: less is nothing, by the rule by which the service tells strangers
const UNSURE = 0.7; // score of a face
const LIKELY = 0.5; // probability that a reference shows the person of a face
const SHOWN = 3; // references in a sentence

/** The colors of the selection picture, as restoration/selection_picture.py has them. */
export const COLORS = ["#e64b35", "#4dbbd5", "#00a087", "#f39b7f", "#3c5488", "#91d1c2", "#dc0000", "#7e6148"];

/** Faces numbered from left to right: [{face, number}]. */
export const numberFaces = (faces) => faces
  .map((face) => ({ face, middle: face.box[0] + face.box[2] / 2 }))
  .sort((a, b) => a.middle - b.middle)
  .map(({ face }, index) => ({ face, number: index + 1 }));

/** How many quarters to the left the photograph lies on its side, by the eyes of its faces: 0 if it is upright. */
export function findStance(faces) {
  const counts = [0, 0, 0, 0];
  for (const { points } of faces) {
    if (points.length < 2) continue;
    const [[x, y], [right, below]] = points;
    const angle = Math.atan2(below - y, right - x) / (Math.PI / 2);
    if (Math.abs(angle - Math.round(angle)) < 0.4) counts[(Math.round(angle) + 4) % 4] += 1;
  }
  const most = counts.indexOf(Math.max(...counts));
  return counts[most] * 2 > faces.length ? most : 0;
}

/** `again(changes)` restores the photograph again with other choices; null where its file is not here any more. */
export function showFaces(task, visible, again) {
  const { job } = task;
  const aligned = task.mode === "aligned";
  byId("faces-list").replaceChildren(...numberFaces(job.faces).map(({ face, number }) => {
    const box = asBox(face.box);
    const closer = make("button", { type: "button", className: "small", textContent: words.zoom, ariaLabel: words.zoomOn(number) });
    closer.onclick = () => look(box);
    const anyway = face.action === "kept" && again
      ? make("button", { type: "button", className: "small", textContent: words.anyway, onclick: () => again({ keep: "false" }) }) : null;
    const small = [aligned ? "" : words.pixels(box.width, box.height),
      !aligned && face.score > 0 && face.score < UNSURE ? words.unsure : ""].filter(Boolean).join(". ");
    return make("li", {}, make("b", { className: "number " + face.action }, String(number)),
      make("div", { className: "words" },
        make("span", { className: "state " + face.action }, words.actions[face.action] || face.action), words.stop,
        ...sayOutcome(task, face), make("small", {}, small)),
      make("span", { className: "tools" }, anyway, visible && !aligned ? closer : null));
  }));
  show("faces-report", job.faces.length > 0);
  show("wrong-person", job.people?.length > 1 && job.faces.some((face) => face.action === "restored"));
  byId("wrong-person").textContent = words.wrongPerson;
  show("view-tools", visible && !aligned && job.faces.length > 0);
}

const isOther = (face, at) => typeof face.same_person?.[at] === "number" && face.same_person[at] < LIKELY;

function sayOutcome(task, face) {
  if (face.reason === "reference-stranger" && face.same_person?.length) {
    const least = Math.min(...face.same_person.filter((one) => one !== null));
    return [showReference(task, face.same_person.indexOf(least)), words.isOther];
  }
  if (face.action !== "restored") return [face.reason ? words.reasons[face.reason] || words.otherReason : ""];
  const said = [];
  if (task.job.people?.length > 1) said.push(face.person ? words.isPerson(task.people[face.person]) : words.isNobody, " ");
  if (face.person === null && task.job.people?.length > 1) return said;
  return [...said, ...sayShares(task, face)];
}

// "23 % of it was taken from [picture] granny.jpg and 6 % from [picture] ada.jpg. Hardly anything was taken from [picture] x.jpg."
function sayShares(task, face) {
  const used = face.selected.map((share, at) => ({ share, at })).filter(({ at }) => {
    const seen = task.job.references[at];
    return !seen || (seen.used && (!seen.person || !face.person || seen.person === face.person));
  }).sort((a, b) => b.share - a.share);
  if (!used.length) return [words.alone];
  const show = ({ at }) => [showReference(task, at), isOther(face, at) ? words.notSame : ""];
  const much = used.filter(({ share }) => share >= LITTLE).slice(0, SHOWN);
  const little = used.filter(({ share }) => share < LITTLE).slice(0, SHOWN);
  const join = (ones, say) => ones.flatMap((one, index) =>
    [index === 0 ? "" : index === ones.length - 1 ? words.and : ", ", say(one, index), ...show(one)]);
  return [
    ...(much.length ? [...join(much, ({ share }, index) => (index ? words.takenMore(share) : words.taken(share))), words.stop] : []),
    ...(little.length ? [...join(little, (_, index) => (index ? "" : words.hardly)), words.stop] : []),
  ];
}

const nameAt = (task, at) => words.reference(at + 1, task.references[at]?.name || task.job.references[at]?.name);

/** A reference within a sentence: its face and its name. */
const showReference = (task, at) =>
  make("span", { className: "inline" }, thumbnail(task.references[at]?.thumb, "tiny"), nameAt(task, at));

export function showReferences(task) {
  const { job } = task;
  const several = job.people?.length > 1;
  byId("seen-list").replaceChildren(...job.references.map((seen, at) => {
    const refused = ["reference-without-face", "several-faces"].includes(seen.reason);
    const restored = job.faces.filter((face) => face.action === "restored" && (!several || face.person === seen.person));
    const taken = restored.map((face) => face.selected[at] || 0);
    const stranger = seen.used && taken.length > 0 && Math.max(...taken) < LITTLE;
    const other = seen.used && restored.length > 0 && restored.every((face) => isOther(face, at));
    const unneeded = seen.used && several && !job.faces.some((face) => face.person === seen.person);
    const state = unneeded ? words.unneeded : seen.used ? (taken.length ? words.used : words.usable) : refused ? words.refused : words.leftOut;
    const why = seen.reason ? ": " + (words.referenceReasons[seen.reason] || "") : unneeded ? ": " + words.noFace(task.people[seen.person])
      : other ? words.stop + words.other + (stranger ? words.useAnyway : "") : stranger ? words.stop + words.stranger : "";
    return make("li", {}, thumbnail(task.references[at]?.thumb, "thumb small-thumb"),
      make("div", { className: "words" },
        make("strong", {}, nameAt(task, at)), several && task.people[seen.person] ? " (" + task.people[seen.person] + ")" : "", " ",
        make("span", { className: "state " + (unneeded ? "" : seen.used ? "used" : "failed") }, state), why,
        make("small", {}, seen.size === null ? "" : words.measured(seen.size))));
  }));
  show("references-report", job.references.length > 0);
}

/** Which color of the selection picture is whose. */
export function showLegend(task) {
  const { job } = task;
  const rows = job.people?.length > 1
    ? job.people.map((id, at) => ({ color: at, name: task.people[id] || "", thumb: task.references.find((one) => one.person === id)?.thumb }))
    : job.references.map((seen, at) => ({ seen, at })).filter(({ seen }) => seen.used)
      .map(({ seen, at }) => ({ color: seen.index - 1, name: nameAt(task, at), thumb: task.references[at]?.thumb }));
  byId("legend").replaceChildren(...rows.map(({ color, name, thumb }) => {
    const swatch = make("i", { className: "swatch" });
    swatch.style.background = COLORS[color % COLORS.length];
    return make("li", {}, swatch, thumb ? thumbnail(thumb, "tiny") : null, name);
  }));
}
