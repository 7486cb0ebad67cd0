// The view of stored people: a form for one more, and everybody with what can be done.

import { PICTURES, acceptFiles, byId, make, show, thumbnail } from "./dom.js";
import { findFaces } from "./history.js";
import { addReferences, deletePerson, isGuest, listPeople, removeReference, renamePerson, storePerson } from "./people.js";
import { sayProblem } from "./problem.js";
import { ProblemError, offers, slugOf } from "./service.js";
import { people as words, labels, report } from "./words.js";

let files = []; // of the person in the form
const shown = new Map(); // id of a person: what is drawn, and of what
let turns = 0; // readings begun
let drawn = 0; // the latest that was drawn
let notify = () => {}; // told of everybody whenever somebody has changed
let pick = () => {};

/** Reads everybody anew. Whoever has not changed stays as drawn, with a name half typed or a question half answered. */
export async function refreshPeople() {
  const turn = ++turns;
  const listed = await listPeople();
  const cards = await Promise.all(listed.map(async (person) => [person, await findFaces(person.id)]));
  if (turn < drawn) return; // a later reading came back first
  drawn = turn;
  for (const id of [...shown.keys()].filter((id) => !listed.some((person) => person.id === id))) forgetCard(id);
  const list = byId("people");
  for (const [at, [person, faces]] of cards.entries()) {
    const state = JSON.stringify([person, isGuest(person.id), faces.map(({ index, name }) => [index, name])]);
    if (shown.get(person.id)?.state !== state) {
      forgetCard(person.id);
      shown.set(person.id, { state, element: renderPerson(person, faces) });
    }
    const { element } = shown.get(person.id);
    if (list.children[at] !== element) list.insertBefore(element, list.children[at] || null);
  }
  show("nobody", !listed.length);
  notify(listed.filter((person) => !isGuest(person.id)));
}

function forgetCard(id) {
  shown.get(id)?.element.remove();
  shown.delete(id);
}

function renderFiles() {
  byId("person-thumbs").replaceChildren(...files.map((file, index) => {
    const remove = make("button", { type: "button", className: "remove", textContent: "×", ariaLabel: labels.remove + " " + file.name });
    remove.onclick = () => { files.splice(index, 1); renderFiles(); };
    return make("li", {}, thumbnail(file), remove, make("span", { className: "name" }, file.name));
  }));
}

async function store(event) {
  event.preventDefault();
  show("person-problem", false);
  const tell = (text) => { byId("person-hint").textContent = text; };
  if (!files.length) { tell(words.noPictures); return; }
  byId("store-person").disabled = true;
  try {
    const fields = byId("person-largest").checked ? [["reference_face", "largest"]] : [];
    const name = byId("person-name").value.trim();
    const person = await storePerson(name, files, fields, { onProgress: (share) => tell(words.storing(share)) });
    if (person.status === "failed") {
      await deletePerson(person.id);
      const refused = person.references.filter((seen) => seen.reason === slugOf(person.error));
      tell("");
      showProblem(new ProblemError(person.error, 422), refused.map((seen) => report.reference(seen.index, seen.name)));
      return;
    }
    tell(words.stored(name));
    files = [];
    byId("person-name").value = "";
    renderFiles();
    await refreshPeople();
  } catch (error) {
    tell("");
    showProblem(error);
  } finally {
    byId("store-person").disabled = false;
  }
}

/** `names`: of the photographs that it is about, where they are known. */
function showProblem(error, names = []) {
  const [title, remedy] = sayProblem(error.problem || { status: 500, title: String(error) });
  byId("person-problem-title").textContent = (names.length ? words.refused(names) : "") + title;
  byId("person-problem-remedy").textContent = remedy;
  show("person-problem", true);
}

function renderPerson(person, faces) {
  const button = (text, act) => make("button", { type: "button", className: "small", textContent: text, onclick: act });
  const element = make("li", {});
  // Everything that changes somebody: the answer is looked at anew, whatever came of it.
  const change = async (work) => {
    for (const one of element.querySelectorAll("button, input")) one.disabled = true;
    show("person-problem", false);
    try { await work(); } catch (error) { showProblem(error); }
    if (shown.get(person.id)?.element === element) shown.get(person.id).state = null; // its buttons are dead
    await refreshPeople();
  };
  const tools = make("div", { className: "row" });
  const normal = () => tools.replaceChildren(
    ...(person.status === "failed" ? [] : [button(words.pick, () => pick(person.id))]),
    ...(offers.changesPeople && person.status === "ready" ? [button(words.rename, rename), addButton()] : []),
    button(words.delete, confirm));
  const confirm = () => {
    const really = button(words.really, () => change(() => deletePerson(person.id)));
    tools.replaceChildren(make("span", {}, words.confirm(person.name)), really, button(words.no, () => { normal(); tools.lastChild.focus(); }));
    really.focus();
  };
  const rename = () => {
    const input = make("input", { type: "text", value: person.name, maxLength: 80, ariaLabel: words.renamed(person.name) });
    const form = make("form", { className: "row" }, input, make("button", { className: "small" }, words.save), button(words.no, normal));
    form.onsubmit = (event) => { event.preventDefault(); change(() => renamePerson(person, input.value.trim())); };
    tools.replaceChildren(form);
    input.select();
  };
  const addButton = () => {
    const input = make("input", { type: "file", multiple: true, accept: PICTURES });
    const label = make("label", { className: "button small drop-button" }, input, words.add);
    acceptFiles(label, (chosen) => { if (chosen.length) change(() => addReferences(person, chosen)); });
    return label;
  };
  const references = make("ul", { className: "thumbs" }, person.references.map((seen) => {
    const face = faces.find((one) => one.index === seen.index && one.name === seen.name) || faces.find((one) => one.name === seen.name);
    const why = seen.used ? "" : report.leftOut + (seen.reason ? ": " + (report.referenceReasons[seen.reason] || "") : "");
    const remove = make("button", { type: "button", className: "remove", textContent: "×", ariaLabel: words.remove(seen.name || seen.index) });
    remove.onclick = () => change(() => removeReference(person, seen.index));
    const removable = offers.changesPeople && person.status === "ready" && person.references.length > 1;
    return make("li", { className: seen.used ? "" : "unused" }, thumbnail(face?.thumb), removable ? remove : null,
      make("span", { className: "name" }, report.reference(seen.index, seen.name)), why ? make("small", {}, why) : null);
  }));
  normal();
  const status = person.status === "ready" && person.error ? words.notAdded : words.status[person.status];
  element.append(
    make("strong", {}, person.name || words.unnamed), " ",
    make("span", { className: "soft" }, [words.about(person.references.length, new Date(person.expires_at)), isGuest(person.id) ? words.guest : ""].filter(Boolean).join(" · ")),
    ...(status || person.error ? [make("p", { className: person.status === "preparing" ? "soft" : "failed" },
      [status, person.error ? sayProblem(person.error).join(". ") : ""].filter(Boolean).join(": "))] : []),
    references, tools);
  return element;
}

/** `onPeople(people)` is told who can be picked; `onPick(id)` of somebody who was. */
export function onPeopleView({ onPeople, onPick }) {
  notify = onPeople;
  pick = onPick;
  byId("person-form").onsubmit = store;
  acceptFiles(byId("person-area"), (chosen) => { files.push(...chosen); renderFiles(); });
}
