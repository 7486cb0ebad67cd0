// A photograph that was chosen: its file, what it looks like, and the boxes that were drawn into it.

import { shrink, turn } from "./picture.js";

const THUMB_SIDE = 320; // pixels

export class Photo {
  boxes = [];
  size = null; // of the upright picture; null until it was looked at, and where this browser cannot show it
  thumb = null;
  seen = false; // whether it was looked at

  constructor(file) { this.file = file; this.name = file.name; }

  #looked = null;

  /** Decodes it for its size and a small picture, once. */
  look() { return this.#looked ||= this.#look(); }

  async #look() {
    const small = await shrink(this.file, THUMB_SIDE);
    this.seen = true;
    if (small) Object.assign(this, { thumb: small.blob, size: { width: small.width, height: small.height } });
  }

  /** A photograph of its own, turned to the right by so many quarters; null where this browser cannot show it. */
  async turned(quarters) {
    const file = await turn(this.file, quarters);
    if (!file) return null;
    const photo = new Photo(file);
    await photo.look();
    return photo;
  }
}
