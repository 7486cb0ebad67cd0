// Stored people: listed, made, renamed, given further references, deleted; and guests, who are stored for one album only.

import { asBox } from "./dom.js";
import { findFaces, forgetFaces, keepFaces, keepFacesOf } from "./history.js";
import { patiently } from "./patience.js";
import { cut } from "./picture.js";
import { call, read } from "./service.js";
import { upload } from "./upload.js";

const FACE_SIDE = 96; // pixels
const GUESTS = "refstar-guests"; // in localStorage, and a lock: people who are deleted once no job needs them
const LONGEST_STAY = 24 * 3600_000; // milliseconds

/** Everybody whom the service has, newest first. */
export async function listPeople() {
  const people = [];
  for (let path = "/v1/people?limit=100"; path;) {
    const page = await read(path);
    people.push(...page.people);
    path = page.next;
  }
  await keepFacesOf(people.map((person) => person.id));
  return people;
}

/** The person once a worker has looked at the references. */
async function settle(person, signal) {
  while (person.status === "preparing") {
    person = await patiently(() => read(person.links.self, { headers: { Prefer: "wait=20" }, signal }), { signal });
  }
  return person;
}

/** Stores a person and keeps small pictures of the faces in this browser. `fields`: further [name, value] pairs. */
export async function storePerson(name, files, fields, options) {
  const data = new FormData();
  data.append("name", name);
  for (const [field, value] of fields) data.append(field, value);
  for (const file of files) data.append("references", file, file.name);
  const person = await settle(await upload("/v1/people", data, options), options?.signal);
  if (person.status === "ready") await keepFaces(person.id, await cutFaces(person.references, files));
  return person;
}

async function change(person, data, options) {
  return settle(await upload(person.links.self, data, { ...options, method: "PATCH" }), options?.signal);
}

export function renamePerson(person, name) {
  const data = new FormData();
  data.append("name", name);
  return change(person, data);
}

export async function addReferences(person, files, options) {
  const data = new FormData();
  for (const file of files) data.append("references", file, file.name);
  const before = new Set(person.references.map((seen) => seen.index));
  const changed = await change(person, data, options);
  const added = changed.references.filter((seen) => !before.has(seen.index));
  await keepFaces(person.id, [...await findFaces(person.id), ...await cutFaces(added, files)]);
  return changed;
}

export function removeReference(person, index) {
  const data = new FormData();
  data.append("remove", index);
  return change(person, data);
}

export async function deletePerson(id) {
  await patiently(() => call("/v1/people/" + id, { method: "DELETE" }));
  await forgetFaces(id);
}

/** `references` in the order of `files`. */
async function cutFaces(references, files) {
  const faces = [];
  for (const [at, seen] of references.entries()) {
    const thumb = files[at] ? await cut(files[at], seen.box && asBox(seen.box), FACE_SIDE) : null;
    if (thumb) faces.push({ index: seen.index, name: seen.name, thumb });
  }
  return faces;
}

// ---- guests: in localStorage, so that they go even if this tab was closed before the album was done

const readGuests = () => { try { return JSON.parse(localStorage.getItem(GUESTS)) || []; } catch { return []; } };
const writeGuests = (guests) => { try { localStorage.setItem(GUESTS, JSON.stringify(guests)); } catch { /* then they expire */ } };
const dropGuest = (id) => writeGuests(readGuests().filter((guest) => guest.id !== id));

export const isGuest = (id) => readGuests().some((guest) => guest.id === id);
export const noteGuest = (id) => writeGuests([...readGuests(), { id, since: Date.now() }]);

/** Tells other tabs that this one has guests, until what it gives is called. */
export function holdGuests() {
  let release = () => {};
  navigator.locks?.request(GUESTS, { mode: "shared" }, () => new Promise((resolve) => { release = resolve; }));
  return () => release();
}

export async function dismissGuests(ids) {
  for (const id of ids) {
    try { await deletePerson(id); dropGuest(id); } catch { /* the next visit tries again */ }
  }
}

/** Dismisses the guests of tabs that were closed: all that no tab holds, or where tabs cannot agree, those of yesterday. */
export async function dismissForgotten() {
  const dismiss = (guests) => dismissGuests(guests.map((guest) => guest.id));
  if (!navigator.locks) return dismiss(readGuests().filter((guest) => Date.now() - guest.since > LONGEST_STAY));
  return navigator.locks.request(GUESTS, { ifAvailable: true }, (lock) => (lock ? dismiss(readGuests()) : null));
}
