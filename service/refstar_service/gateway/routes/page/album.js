// An album: tasks that are done in order, some at a time.

import { Pace } from "./pace.js";
import { State } from "./task.js";

/** As many as keep a worker busy; each has one connection open, and a browser has six. */
const AT_ONCE = 4;

export class Album extends EventTarget {
  tasks = [];
  halted = null; // the problem that stopped it
  #running = 0;
  #pace = new Pace();

  get ended() { return this.tasks.filter((task) => task.ended).length; }
  get done() { return this.tasks.filter((task) => task.state === State.DONE); }
  get busy() { return this.tasks.some((task) => !task.ended); }

  /** Seconds until all have ended, or null. */
  get left() { return this.tasks.length - this.ended > 1 ? this.#pace.left() : this.tasks.find((task) => !task.ended)?.left ?? null; }

  add(...tasks) {
    for (const task of tasks) {
      task.onchange = () => this.#changed(task);
      this.tasks.push(task);
    }
    this.#pace.note(this.tasks.length - this.ended);
    this.#tell("list");
    this.#pump();
  }

  /** Lets go of all tasks, which must have ended. */
  release() {
    const { tasks } = this;
    this.tasks = [];
    return tasks;
  }

  async remove(task) {
    await task.remove();
    this.tasks = this.tasks.filter((other) => other !== task);
    this.#tell("list");
  }

  /** Goes on after a halt. */
  resume() {
    this.halted = null;
    for (const task of this.tasks) if (task.state === State.WAITING) task.started = false;
    this.#tell("list");
    this.#pump();
  }

  async cancel() {
    await Promise.all(this.tasks.map((task) => task.cancel()));
    this.resume(); // what was accepted before a halt is followed to its end
  }

  #pump() {
    for (const task of this.tasks.filter(({ ended, started }) => !ended && !started)) {
      if (this.halted || this.#running >= AT_ONCE) return;
      this.#run(task);
    }
  }

  async #run(task) {
    task.started = true;
    this.#running += 1;
    const problem = await task.run(this.tasks.length > 1);
    this.halted ||= problem;
    this.#running -= 1;
    this.#pace.note(this.tasks.length - this.ended);
    this.#tell("list");
    this.#pump();
  }

  #changed(task) { this.dispatchEvent(new CustomEvent("change", { detail: task })); }
  #tell(name) { this.dispatchEvent(new Event(name)); }
}
