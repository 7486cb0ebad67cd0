// A pace: how long what remains will take, from how quickly it became less.

const LEAST = 3; // seconds of watching before anything is foretold

export class Pace {
  #first = null;
  #last = null;

  /** `remaining`: how much there is to do, at `now` in seconds. More than before begins a new count. */
  note(remaining, now = performance.now() / 1000) {
    if (this.#last === null || remaining > this.#last.remaining) this.#first = { remaining, now };
    if (this.#last === null || remaining !== this.#last.remaining) this.#last = { remaining, now };
  }

  /** Seconds that are left, or null while nothing can be said. */
  left(now = performance.now() / 1000) {
    if (this.#last === null) return null;
    const done = this.#first.remaining - this.#last.remaining;
    const taken = this.#last.now - this.#first.now;
    if (done <= 0 || now - this.#first.now < LEAST) return null;
    return Math.max(taken / done * this.#last.remaining - (now - this.#last.now), 1);
  }
}
