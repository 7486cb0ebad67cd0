// Who is in the photographs: references grouped by person, and people who are stored already.

import { PICTURES, acceptFiles, byId, make, show, thumbnail } from "./dom.js";
import { findFaces } from "./history.js";
import { offers } from "./service.js";
import { form as words, labels } from "./words.js";

const groups = [{ name: "", files: [] }];
let stored = []; // people who can be picked
const picked = new Set(); // their ids
let onChange = () => {};

const nameOf = (group) => group.name.trim() || words.person(groups.indexOf(group) + 1);
const filled = () => groups.filter((group) => group.files.length);

/** The groups that have files, with a name each. */
export const readGroups = () => filled().map((group) => ({ name: nameOf(group), files: [...group.files], source: group }));
export const readPicked = () => stored.filter((person) => picked.has(person.id));
export const mostPeople = () => (offers.severalPeople ? offers.mostPeople : 1);

/** How many references there are at least, and of how many people. */
export const countReferences = () => filled().reduce((sum, group) => sum + group.files.length, 0) + readPicked().length;
export const countPeople = () => filled().length + readPicked().length;

/** What has to change before anything can be sent; "" if nothing. */
export function findLack() {
  const large = groups.find((group) => group.files.length > offers.mostReferences);
  if (large) return words.surplus(nameOf(large), large.files.length - offers.mostReferences);
  return countPeople() > mostPeople() ? words.tooManyPeople(mostPeople()) : "";
}

/** The people who can be picked are now these. */
export function offerPeople(people) {
  stored = people.filter((person) => person.status !== "failed" && (person.status === "ready" || person.references.length));
  for (const id of picked) if (!stored.some((person) => person.id === id)) picked.delete(id);
  renderStored();
  onChange();
}

export function pickPerson(id) {
  if (!offers.severalPeople) picked.clear();
  picked.add(id);
  renderStored();
  onChange();
}

/** A group has become a stored person. */
export function replaceGroup(group, person) {
  groups.splice(groups.indexOf(group.source), groups.includes(group.source) ? 1 : 0);
  if (!groups.length) groups.push({ name: "", files: [] });
  picked.add(person.id);
  renderGroups();
  renderStored();
}

function renderStored() {
  show("stored", stored.length > 0);
  byId("stored").replaceChildren(...stored.map(renderPick));
}

function renderGroups() {
  byId("groups").replaceChildren(...groups.map(renderGroup));
}

/** What depends on other parts of the form. `photos`: how many are chosen. */
export function renderGroupHints(photos) {
  const people = countPeople();
  byId("who-help").textContent = words.whoHelp(offers.mostReferences);
  show("another-person", offers.severalPeople && filled().length === groups.length && people < mostPeople());
  show("keep-line", filled().length > 0);
  const once = filled().length > 0 && !byId("keep-people").checked && (photos > 1 || people > 1);
  show("once", once);
  byId("once").textContent = once ? words.once : "";
}

function renderPick(person) {
  const box = make("input", { type: "checkbox", checked: picked.has(person.id) });
  box.onchange = () => { if (box.checked) pickPerson(person.id); else { picked.delete(person.id); onChange(); } };
  const face = make("span", { className: "face" });
  findFaces(person.id).then(([first]) => { if (first) face.append(thumbnail(first.thumb, "round")); });
  return make("label", {}, box, face, words.pick(person));
}

function renderGroup(group) {
  const name = make("input", { type: "text", maxLength: 80, value: group.name, placeholder: words.person(groups.indexOf(group) + 1),
    ariaLabel: words.personName, autocomplete: "off" });
  name.oninput = () => { group.name = name.value; };
  const remove = make("button", { type: "button", className: "small", textContent: labels.remove, ariaLabel: words.removePerson(nameOf(group)) });
  remove.onclick = () => {
    groups.splice(groups.indexOf(group), 1);
    renderGroups();
    onChange();
    byId("another-person").focus();
  };
  const input = make("input", { type: "file", multiple: true, accept: PICTURES });
  const drop = make("label", { className: "drop" }, input, make("strong", {}, labels.addPictures), " " + labels.dropHere);
  input.ariaLabel = words.references;
  const thumbs = make("ul", { className: "thumbs" }, group.files.map((file, index) => {
    const button = make("button", { type: "button", className: "remove", textContent: "×", ariaLabel: labels.remove + " " + file.name });
    button.onclick = () => { group.files.splice(index, 1); renderGroups(); onChange(); };
    return make("li", {}, thumbnail(file), button, make("span", { className: "name" }, file.name));
  }));
  const several = groups.length > 1;
  const element = make("div", { className: several ? "group named" : "group" },
    make("div", { className: "row near" }, name, several ? remove : null), drop, thumbs);
  acceptFiles(element, (files) => { group.files.push(...files); renderGroups(); onChange(); });
  return element;
}

export function onGroups(render) {
  onChange = render;
  byId("another-person").onclick = () => {
    groups.push({ name: "", files: [] });
    renderGroups();
    onChange();
    byId("groups").lastElementChild.querySelector("input").focus();
  };
  byId("keep-people").onchange = render;
  renderGroups();
}
