// One task in detail: how far it is, what went wrong and what can be done, or what came of it.

import { announce, asBox, byId, make, show, showBlob, thumbnail } from "./dom.js";
import { measure, tell } from "./cards.js";
import { cutThrough, layOut, markFaces, onCompare, showPair } from "./compare.js";
import { patiently } from "./patience.js";
import { sayProblem } from "./problem.js";
import { findStance, numberFaces, showFaces, showLegend, showReferences } from "./report.js";
import { download } from "./saving.js";
import { call, slugOf } from "./service.js";
import { State } from "./task.js";
import { STEPS, progress, remedies, report as words, requestNumber, steps } from "./words.js";

let shown = null; // the task
let drawn = null; // the state in which its outcome was drawn
let pictured; // the small picture beside the progress
let actions = {};

export const shownTask = () => shown;

/**
 * `act` says what the buttons do: again(task, changes, without), turn(task, quarters), remove(task), markFace(task),
 * largestFaces(task).
 */
export function onDetail(act) {
  actions = act;
  onCompare();
  byId("cancel").onclick = () => shown.cancel();
  byId("delete").onclick = () => actions.remove(shown);
  byId("download").onclick = async () => {
    const task = shown;
    try { download(await task.result(), task.resultName); } catch (error) { showProblem(error.problem || {}, task); }
  };
}

/** Shows this task from now on; null for none. */
export function showTask(task) {
  shown = task;
  drawn = null;
  show("detail", Boolean(task));
  if (task) renderTask();
}

/** Draws what has changed. */
export function renderTask() {
  const task = shown;
  if (!task) return;
  if (!task.ended) { drawn = null; showWork(task); return; }
  if (drawn === task.state) return;
  drawn = task.state;
  show("working", false);
  if (task.state === State.DONE) showResult(task);
  else showFailure(task);
  announce(progress.open(task.name, tell(task)));
}

/** The part of the picture that only the clock changes. */
export function renderClock() {
  if (!shown || shown.ended) return;
  byId("left").textContent = shown.left === null ? "" : progress.left(shown.left);
}

function showWork(task) {
  for (const id of ["problem", "report"]) show(id, false);
  show("working", true);
  byId("detail-title").textContent = task.name;
  const said = tell(task);
  if (byId("phase").textContent !== said) { byId("phase").textContent = said; announce(said); }
  if (pictured !== task.thumb) { pictured = task.thumb; byId("working-picture").replaceChildren(thumbnail(task.thumb, "large-thumb")); }
  const share = measure(task);
  if (share === null) byId("progress").removeAttribute("value"); else byId("progress").value = share;
  byId("progress").ariaLabel = said;
  const at = findStep(task);
  byId("steps").replaceChildren(...STEPS.map((step, index) => make("li",
    { className: index < at ? "past" : index === at ? "present" : "", ariaCurrent: index === at ? "step" : null }, steps[step])));
  renderClock();
}

function findStep(task) {
  if (task.state === State.FETCHING) return STEPS.indexOf("storing");
  if (task.state !== State.SENT) return STEPS.indexOf("sending");
  if (task.job.status === "queued") return STEPS.indexOf("waiting");
  return STEPS.indexOf(task.job.progress?.stage ?? "preparing");
}

// ---- refusals, with what can be done at once

function showFailure(task) {
  byId("detail-title").textContent = task.name;
  if (task.state === State.CANCELED) { showProblem({ type: "/problems/restoration-canceled" }, task); show("report", false); return; }
  showProblem(task.problem, task);
  if (task.job && (task.job.faces.length || task.job.references.length)) showEvidence(task);
  else show("report", false);
}

function showProblem(problem, task) {
  [byId("problem-title").textContent, byId("problem-remedy").textContent] = sayProblem(problem);
  byId("problem-detail").textContent = problem.detail || "";
  byId("problem-id").textContent = problem.request_id ? requestNumber(problem.request_id) : "";
  show("problem-more", Boolean(problem.detail || problem.request_id));
  byId("problem-more").open = false;
  const offered = findRemedies(slugOf(problem), task);
  if (task.ended) offered.push([remedies.remove, () => actions.remove(task)]);
  byId("problem-tools").replaceChildren(...offered.map(([text, act]) => make("button", { type: "button", textContent: text, onclick: act })));
  show("problem-tools", offered.length > 0);
  show("problem", true);
}

function findRemedies(slug, task) {
  if (!task.order) return [];
  const again = (changes) => () => actions.again(task, changes);
  switch (slug) {
    case "several-faces": return [[remedies.largestReference, () => actions.largestFaces(task)]];
    case "result-too-large": return task.upscale > 1 ? [[remedies.originalSize, again({ upscale: "1" })]] : [];
    case "face-too-small": return [[remedies.smallFaces, again({ min_face: "16" })]];
    case "no-face-found": return task.photo.size ? [[remedies.markFace, () => actions.markFace(task)]] : [];
    case "reference-without-face": {
      const refused = task.job?.references.filter((seen) => seen.reason === slug && !seen.person).map((seen) => seen.index - 1) ?? [];
      return refused.length && task.order.loose.length ? [[remedies.withoutReference, () => actions.again(task, {}, refused)]] : [];
    }
    case "image-undecodable": case "not-an-image": case "image-truncated": return [];
    default: return [[remedies.again, again({})]];
  }
}

async function showEvidence(task) {
  for (const id of ["result-tools", "summary", "selection", "not-shown", "stance"]) show(id, false);
  const { before } = await showPair(await task.before(), null);
  if (shown !== task) return;
  layOut(task.job.faces.length ? task.size || before : null, false);
  if (task.job.faces.length && before) markFaces(numberFaces(task.job.faces));
  else byId("found").replaceChildren();
  showFaces(task, Boolean(before), null);
  showReferences(task);
  show("report", true);
}

// ---- what came of it

async function showResult(task) {
  show("problem", false);
  show("report", false);
  let before, after;
  try {
    [before, after] = await Promise.all([task.before(), task.result()]);
  } catch (error) {
    if (shown === task) showProblem(error.problem || { title: "", detail: String(error) }, task);
    return;
  }
  const { job } = task;
  const sizes = await showPair(before, after);
  if (shown !== task) return;
  const size = task.size || sizes.before || (sizes.after && { width: sizes.after.width / task.upscale, height: sizes.after.height / task.upscale });
  const visible = Boolean(size && (sizes.before || sizes.after));
  const changed = job.faces.some((face) => face.action === "restored");
  byId("detail-title").textContent = task.name + ": " + (changed ? words.restored : words.unchanged);
  show("not-shown", !sizes.after);
  const seconds = job.started_at && job.finished_at ? ((Date.parse(job.finished_at) - Date.parse(job.started_at)) / 1000).toFixed(1) : "";
  byId("summary").textContent = [words.summary(sizes.after?.width, sizes.after?.height, seconds, job.model),
    task.photo || (before && sizes.before?.width === size?.width) ? "" : words.smallCopy].filter(Boolean).join(". ");
  layOut(visible ? size : null, Boolean(sizes.before && sizes.after));
  const faces = task.mode === "aligned" ? [] : numberFaces(job.faces);
  if (visible) markFaces(faces);
  const first = faces.find(({ face }) => face.action === "restored") || faces.find(({ face }) => face.action === "kept");
  if (first && visible) cutThrough(asBox(first.face.box));
  const again = task.order ? (changes) => actions.again(task, changes) : null;
  showFaces(task, visible, again);
  showReferences(task);
  showStance(task);
  for (const id of ["result-tools", "summary", "report"]) show(id, true);
  await showSelection(task);
}

function showStance(task) {
  const quarters = task.mode === "aligned" ? 0 : findStance(task.job.faces);
  show("stance", quarters > 0);
  if (!quarters) return;
  byId("stance-words").textContent = quarters === 2 ? words.headless : words.sideways;
  byId("upright").textContent = words.turnIt;
  show("upright", Boolean(task.order && task.photo.size));
  byId("upright").onclick = () => actions.turn(task, (4 - quarters) % 4);
}

async function showSelection(task) {
  show("selection", false);
  if (!task.job.links.selection) return;
  try {
    const picture = await (await patiently(() => call(task.job.links.selection))).blob();
    if (shown !== task) return;
    await showBlob(byId("selection-image"), picture);
    byId("selection-image").alt = words.selectionAlt;
    showLegend(task);
    show("selection", true);
  } catch { /* it has expired; the shares stand in the list of faces */ }
}
