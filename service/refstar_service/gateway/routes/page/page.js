// The page: puts the form, the album and the views together.

import { Album } from "./album.js";
import { addBox, onBoxes, renderBoxes } from "./boxes.js";
import { Cards } from "./cards.js";
import { choose, faceMode, offerChoices, onChoice, readFields, readReferenceFields, renderChoices, upscale } from "./choices.js";
import { onDetail, renderClock, renderTask, showTask, shownTask } from "./detail.js";
import { PICTURES, announce, byId, show } from "./dom.js";
import * as groups from "./groups.js";
import { listLasting } from "./history.js";
import { Order } from "./order.js";
import { onPeopleView, refreshPeople } from "./people_view.js";
import { dismissForgotten } from "./people.js";
import { sayProblem } from "./problem.js";
import { saveAll } from "./saving.js";
import { learn, useKey } from "./service.js";
import { State, Task } from "./task.js";
import { addPhotos, clearPhotos, currentPhoto, onTray, photos, renderTray } from "./tray.js";
import { form as formWords, labels, progress } from "./words.js";

const album = new Album(); // what was sent last
const earlier = new Album(); // what was sent before, in this visit or another
const albumCards = new Cards(byId("album-cards"), open);
const earlierCards = new Cards(byId("earlier-cards"), open);

// ---- the form

function render() {
  renderTray();
  renderBoxes();
  const people = groups.countPeople();
  groups.renderGroupHints(photos.length);
  renderChoices(groups.countReferences());
  const size = currentPhoto()?.size;
  const mode = faceMode();
  byId("faces-hint").textContent = mode === "boxes" && currentPhoto() && !size && currentPhoto().seen ? formWords.unmarkable
    : formWords.faces[mode](people, people > 1);
  show("size-hint", photos.length === 1 && Boolean(size) && mode !== "aligned");
  if (size) byId("size-hint").textContent = formWords.result(size, upscale());
  const unmarked = mode === "boxes" && photos.length > 0 && !photos.some((photo) => photo.boxes.length);
  const lack = !photos.length ? formWords.noPhoto : groups.findLack() || (unmarked ? formWords.markOne : "");
  byId("hint").textContent = lack;
  byId("submit").disabled = Boolean(lack);
  byId("submit").textContent = formWords.restore(photos.length);
}

function submit(event) {
  event.preventDefault();
  if (byId("submit").disabled) return;
  const order = new Order({
    fields: readFields(), ofPeople: readReferenceFields(), groups: groups.readGroups(), picked: groups.readPicked(),
    keep: byId("keep-people").checked, mode: faceMode(), upscale: upscale(), count: photos.length,
  });
  order.onkept = (group, person) => { groups.replaceGroup(group, person); refreshPeople().catch(() => {}); };
  const tasks = photos.map((photo) => new Task(photo, order));
  clearPhotos();
  send(tasks);
}

function send(tasks) {
  if (!album.busy) {
    earlier.add(...album.release());
    closeDetail();
  }
  album.add(...tasks);
  if (album.tasks.length === 1) open(tasks[0]);
  else if (shownTask() && !album.tasks.includes(shownTask())) closeDetail();
  reveal();
}

/** Sends a photograph again instead of what came of it before; and with it those that were refused for the same reason. */
async function sendAgain(task, changes, without, photo = task.photo) {
  const owner = ownerOf(task);
  const alike = task.job || task.state !== State.FAILED ? [task]
    : owner.tasks.filter((one) => one.order === task.order && !one.job && one.problem?.type === task.problem.type);
  const alone = album.tasks.length === alike.length;
  const order = task.order.again(changes, without, alike.length);
  const again = alike.map((one) => new Task(one === task ? photo : one.photo, order));
  for (const one of alike) if (one.state !== State.DONE) await owner.remove(one);
  send(again);
  if (!alone && again.length === 1) open(again[0]);
}

// ---- what was sent

function renderAlbum() {
  const { tasks, ended } = album;
  const several = tasks.length > 1;
  show("empty", !tasks.length && !shownTask());
  show("album", several && !shownTask());
  show("detail-tools", several || earlier.tasks.includes(shownTask()));
  albumCards.render(tasks);
  const title = ended === tasks.length ? progress.albumDone(album.done.length, tasks.length) : progress.album(ended, tasks.length);
  if (several && byId("album-title").textContent !== title && !shownTask()) announce(title);
  byId("album-title").textContent = title;
  byId("album-progress").value = tasks.length ? ended / tasks.length : 0;
  show("album-progress", album.busy);
  show("cancel-all", album.busy);
  show("halted", Boolean(album.halted));
  if (album.halted) byId("halted-words").textContent = progress.halted(sayProblem(album.halted));
  byId("save-album").disabled = !album.done.length;
  show("earlier", earlier.tasks.length > 0 && !shownTask());
  earlierCards.render([...earlier.tasks].reverse());
  byId("save-earlier").disabled = !earlier.done.length;
  renderLeft();
}

function renderLeft() {
  const left = album.busy ? album.left : null;
  byId("album-left").textContent = left === null ? "" : progress.left(left);
  renderClock();
}

const siblings = () => (ownerOf(shownTask()) === earlier ? [...earlier.tasks].reverse() : album.tasks);

function open(task) {
  showTask(task);
  const all = siblings();
  byId("previous").disabled = all.indexOf(task) === 0;
  byId("next").disabled = all.indexOf(task) === all.length - 1;
  renderAlbum();
  byId("detail-title").focus({ preventScroll: true });
  reveal();
}

function closeDetail() {
  const task = shownTask();
  showTask(null);
  renderAlbum();
  albumCards.focus(task);
  earlierCards.focus(task);
}

const step = (by) => () => { const all = siblings(); open(all[all.indexOf(shownTask()) + by]); };

// Brings the outcome into sight where it is not: below the form on a phone, above after scrolling down.
function reveal() {
  const { top } = byId("outcome").getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) byId("outcome").scrollIntoView();
}

const ownerOf = (task) => (earlier.tasks.includes(task) ? earlier : album);

async function remove(task) {
  const owner = ownerOf(task);
  await owner.remove(task);
  if (album.tasks.length === 1 && owner === album) open(album.tasks[0]); else closeDetail();
}

const actions = {
  again: sendAgain,
  async turn(task, quarters) {
    const turned = await task.photo.turned(quarters);
    if (turned) await sendAgain(task, {}, [], turned);
  },
  remove,
  largestFaces(task) {
    byId("reference_face").checked = true;
    task.order.ofPeople = readReferenceFields();
    return sendAgain(task, {});
  },
  markFace(task) {
    choose("faces", "boxes");
    clearPhotos();
    addPhotos([task.photo.file]);
    byId("photos-area").scrollIntoView({ block: "center" });
    currentPhoto().look().then(() => { render(); addBox(); });
  },
};

function saving(which, note) {
  return async (event) => {
    const button = event.currentTarget;
    const say = (text) => { byId(note).textContent = text; show(note, Boolean(text)); };
    button.disabled = true;
    try {
      const outcome = await saveAll(which.done, progress.zipName, (at, all) => say(progress.zipping(at + 1, all)));
      say(outcome ? progress.zipped(outcome.missing.length) : "");
    } catch {
      say(progress.zipFailed);
    }
    button.disabled = false;
  };
}

async function removeEarlier() {
  byId("remove-earlier").disabled = true;
  for (const task of [...earlier.tasks]) {
    try { await earlier.remove(task); } catch { /* the service does not answer: it stays in the list */ }
  }
  byId("remove-earlier").disabled = false;
}

// ---- views, and the start

function showView() {
  const people = location.hash === "#people";
  show("restore-view", !people);
  show("people-view", people);
  byId("to-restore").ariaCurrent = people ? null : "page";
  byId("to-people").ariaCurrent = people ? "page" : null;
  if (people) refreshPeople().catch(() => {});
}

async function start() {
  try {
    await learn();
    offerChoices();
    render();
    if (!earlier.busy) await dismissForgotten();
    await refreshPeople();
  } catch { /* the defaults can still be asked for */ }
}

for (const element of document.querySelectorAll("[data-say]")) element.textContent = labels[element.dataset.say];
for (const input of document.querySelectorAll("input[type=file]")) input.accept = PICTURES;
byId("cut").ariaLabel = labels.cut;
byId("album-progress").ariaLabel = labels.photographs;

onTray(render);
onBoxes(render);
onChoice(render);
groups.onGroups(render);
onDetail(actions);
onPeopleView({ onPeople: groups.offerPeople, onPick: (id) => { groups.pickPerson(id); location.hash = "#restore"; } });
for (const one of [album, earlier]) {
  one.addEventListener("list", renderAlbum);
  one.addEventListener("change", ({ detail: task }) => {
    (one === album ? albumCards : earlierCards).update(task);
    if (task === shownTask()) renderTask();
  });
}
setInterval(renderLeft, 1000);

byId("form").onsubmit = submit;
byId("back").onclick = closeDetail;
byId("previous").onclick = step(-1);
byId("next").onclick = step(1);
byId("go-on").onclick = () => album.resume();
byId("cancel-all").onclick = () => album.cancel();
byId("save-album").onclick = saving(album, "album-note");
byId("save-earlier").onclick = saving(earlier, "earlier-note");
byId("remove-earlier").onclick = removeEarlier;
document.ondragover = (event) => event.preventDefault(); // a file dropped beside would replace this page
document.ondrop = (event) => { event.preventDefault(); addPhotos([...event.dataTransfer.files]); };
document.onpaste = (event) => addPhotos([...event.clipboardData.files].filter((file) => file.type.startsWith("image/")));
document.addEventListener("key-wanted", () => show("key-form", true));
byId("key-form").onsubmit = (event) => {
  event.preventDefault();
  useKey(byId("key").value.trim());
  byId("key").value = "";
  show("key-form", false);
  start();
  album.resume();
};
window.addEventListener("beforeunload", (event) => { if (photos.length > 1 || album.tasks.some((task) => !task.ended && !task.job)) event.preventDefault(); });
window.addEventListener("hashchange", showView);

render();
earlier.add(...(await listLasting()).map((record) => Task.of(record)));
await start();
showView();
