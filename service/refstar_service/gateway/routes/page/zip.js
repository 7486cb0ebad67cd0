// A ZIP file, written as it goes: stored, not compressed, since pictures are; larger than 4 GB where need be.
// https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3 and 4.5.3

const CRCS = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit += 1) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
  return byte;
});
const UTF8 = 0x800; // names are UTF-8
const MARK = 0xffffffff; // instead of a number that stands in the ZIP64 field

/** The CRC-32 of a blob, read in pieces. */
export async function checksum(blob) {
  let crc = ~0;
  const reader = blob.stream().getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return ~crc >>> 0;
    for (let at = 0; at < value.length; at += 1) crc = CRCS[(crc ^ value[at]) & 255] ^ (crc >>> 8);
  }
}

/** Little-endian fields: [bytes, value] each; a value of eight bytes may have 53 bits. */
function pack(...fields) {
  const view = new DataView(new ArrayBuffer(fields.reduce((sum, [bytes]) => sum + bytes, 0)));
  let at = 0;
  for (const [bytes, value] of fields) {
    if (bytes === 2) view.setUint16(at, value, true);
    else if (bytes === 4) view.setUint32(at, value, true);
    else view.setBigUint64(at, BigInt(value), true);
    at += bytes;
  }
  return new Uint8Array(view.buffer);
}

const dosTime = (date) => date.getHours() << 11 | date.getMinutes() << 5 | date.getSeconds() >> 1;
const dosDate = (date) => Math.max(date.getFullYear() - 1980, 0) << 9 | date.getMonth() + 1 << 5 | date.getDate();

export class Zip {
  #write;
  #most;
  #at = 0;
  #entries = [];
  #names = new Set();

  /** `write(bytes or blob)` may be asynchronous. `most`: the largest offset that fits into the old fields. */
  constructor(write, most = MARK - 1) { this.#write = write; this.#most = most; }

  /** A name that is taken gets a number: `face.jpg`, `face (2).jpg`. Gives the name that the file got. */
  async add(name, blob, date) {
    const free = this.#freeName(name);
    const bytes = new TextEncoder().encode(free);
    const crc = await checksum(blob);
    const about = [[2, UTF8], [2, 0], [2, dosTime(date)], [2, dosDate(date)], [4, crc], [4, blob.size], [4, blob.size], [2, bytes.length]];
    this.#entries.push({ about, bytes, offset: this.#at });
    await this.#put(pack([4, 0x04034b50], [2, 20], ...about, [2, 0]), bytes, blob);
    return free;
  }

  async end() {
    const began = this.#at;
    for (const { about, bytes, offset } of this.#entries) {
      const far = offset > this.#most;
      const extra = far ? pack([2, 1], [2, 8], [8, offset]) : new Uint8Array();
      await this.#put(pack([4, 0x02014b50], [2, far ? 45 : 20], [2, far ? 45 : 20], ...about, [2, extra.length], [2, 0], [2, 0], [2, 0],
        [4, 0], [4, far ? MARK : offset]), bytes, extra);
    }
    const size = this.#at - began, count = this.#entries.length, ended = this.#at;
    const large = began > this.#most || count > 0xfffe;
    if (large) {
      await this.#put(pack([4, 0x06064b50], [8, 44], [2, 45], [2, 45], [4, 0], [4, 0], [8, count], [8, count], [8, size], [8, began]),
        pack([4, 0x07064b50], [4, 0], [8, ended], [4, 1]));
    }
    const [shown, start] = large ? [0xffff, MARK] : [count, began];
    await this.#put(pack([4, 0x06054b50], [2, 0], [2, 0], [2, shown], [2, shown], [4, size], [4, start], [2, 0]));
  }

  #freeName(name) {
    const [, stem, suffix] = /^(.*?)(\.[^.]*)?$/.exec(name);
    let free = name;
    for (let number = 2; this.#names.has(free.toLowerCase()); number += 1) free = stem + " (" + number + ")" + (suffix || "");
    this.#names.add(free.toLowerCase());
    return free;
  }

  async #put(...pieces) {
    for (const piece of pieces) {
      await this.#write(piece);
      this.#at += piece.size ?? piece.length;
    }
  }
}
