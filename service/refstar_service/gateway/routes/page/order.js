// An order: what is asked of the service for every photograph that was sent with one press of the button.

import { asBox } from "./dom.js";
import { findFaces } from "./history.js";
import { deletePerson, dismissGuests, holdGuests, noteGuest, storePerson } from "./people.js";
import { cut } from "./picture.js";
import { ProblemError } from "./service.js";

const FACE_SIDE = 96; // pixels

/** Whether an error would only happen again: a refusal that does not pass. */
const isFinal = (error) => error instanceof ProblemError && !error.passing;

export class Order {
  onkept = () => {}; // told of every group that became a stored person
  #stored = null; // promise of the ids of all people whose references are used
  #release = () => {}; // lets other tabs know that the guests are gone
  #faces = new Map(); // small pictures of references, by their place among the files

  /**
   * `fields`: [name, value] pairs for every photograph. `groups`: [{name, files}], the references of a person each.
   * `picked`: people who are stored already. `keep`: whether the groups stay stored. `mode`: which faces. `count`: how
   * many photographs there are. `ofPeople`: fields for storing people.
   */
  constructor({ fields, ofPeople, groups, picked, keep, mode, upscale, count }) {
    Object.assign(this, { fields, ofPeople, groups, picked, keep, mode, upscale });
    // References of one person for one photograph go along with it; for more, they are sent once and stored.
    this.loose = !picked.length && groups.length === 1 && count === 1 && !keep ? groups[0].files : [];
    this.names = new Map(picked.map((person) => [person.id, person.name]));
    this.guests = [];
    this.open = count; // photographs that have not ended
  }

  /** The same order for so many photographs more, with some fields changed and without some of its loose references. */
  again(changes, without = [], count = 1) {
    const changed = this.fields.filter(([name]) => !(name in changes)).concat(Object.entries(changes));
    const left = (group) => ({ ...group, files: group.files.filter((file) => !without.includes(this.loose.indexOf(file))) });
    const groups = without.length ? this.groups.map(left).filter((group) => group.files.length) : this.groups;
    return new Order({ ...this, fields: changed, groups, mode: changes.faces ?? this.mode, upscale: Number(changes.upscale ?? this.upscale), count });
  }

  get needsPeople() { return !this.loose.length && this.groups.length > 0; }

  /** Stores the people of this order, once for all its photographs; gives all their ids. What is refused stays refused. */
  prepare(options) {
    this.#stored ||= this.#store(options).catch((error) => {
      if (!isFinal(error)) this.#stored = null;
      throw error;
    });
    return this.#stored;
  }

  async #store(options) {
    const ids = this.picked.map((person) => person.id);
    if (!this.needsPeople) return ids;
    if (!this.keep) this.#release = holdGuests();
    for (const group of this.groups) {
      const person = await storePerson(group.name, group.files, this.ofPeople, options);
      if (person.status === "failed") {
        await deletePerson(person.id);
        throw new ProblemError(person.error, 422);
      }
      this.names.set(person.id, group.name);
      ids.push(person.id);
      if (this.keep) {
        this.groups = this.groups.filter((other) => other !== group);
        this.picked = [...this.picked, person];
        this.onkept(group, person);
      } else {
        this.guests.push(person.id);
        noteGuest(person.id);
      }
    }
    return ids;
  }

  /** A photograph of this order has ended: after the last one, the guests go. */
  async close() {
    this.open -= 1;
    if (this.open > 0) return;
    this.#stored = null;
    await dismissGuests(this.guests.splice(0));
    this.#release();
  }

  /** The form for one photograph. `people`: what `prepare` gave. */
  form(photo, people) {
    const data = new FormData();
    data.append("image", photo.file, photo.name);
    for (const file of this.loose) data.append("references", file, file.name);
    if (this.loose.length) for (const [name, value] of this.ofPeople) if (name !== "aligned") data.append(name, value);
    for (const id of people) data.append("person", id);
    const marked = this.mode === "boxes" && photo.boxes.length;
    for (const [name, value] of this.fields) {
      if (name === "faces" && this.mode === "boxes" && !marked) continue; // not marked: as the service sees fit
      data.append(name, value);
    }
    const tenth = (value) => Math.round(value * 10) / 10;
    if (marked) data.append("boxes", JSON.stringify(photo.boxes.map((box) => [box.x, box.y, box.width, box.height].map(tenth))));
    return data;
  }

  /** What is known of a job's references: [{name, person, thumb}], in the order of `references` in the job. */
  async describe(job) {
    const described = [];
    for (const seen of job.references) {
      const person = seen.person || job.person || null;
      described.push({ name: seen.name, person, thumb: person ? await this.#faceOf(person, seen) : await this.#cut(seen) });
    }
    return described;
  }

  async #faceOf(person, seen) {
    const faces = await findFaces(person);
    return (faces.find((face) => face.name === seen.name) || faces.find((face) => face.index === seen.index))?.thumb || null;
  }

  async #cut(seen) {
    const at = seen.index - 1;
    if (!this.#faces.has(at) && this.loose[at]) this.#faces.set(at, await cut(this.loose[at], seen.box && asBox(seen.box), FACE_SIDE));
    return this.#faces.get(at) || null;
  }
}
