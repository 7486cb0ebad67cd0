// Cards: a small picture of each task with its state and progress, in a list that hundreds fit into.

import { make, thumbnail } from "./dom.js";
import { State } from "./task.js";
import { progress as words } from "./words.js";

/** What a task is doing, in words. */
export function tell(task) {
  const { job } = task;
  switch (task.state) {
    case State.WAITING: return words.waiting;
    case State.STORING: return words.storing;
    case State.SENDING: return words.sending(task.sent);
    case State.PAUSED: return words.paused(task.pausedFor, task.answered);
    case State.FETCHING: return words.fetching;
    case State.DONE: return job.faces.some((face) => face.action === "restored") ? words.done : words.kept;
    case State.FAILED: return words.failed;
    case State.CANCELED: return words.canceled;
    default: return tellOfJob(job);
  }
}

function tellOfJob(job) {
  if (job.canceling) return words.canceling;
  if (job.status === "queued") return words.queued(job.queue_position);
  const { stage, faces_done: done, faces } = job.progress || {};
  if (stage === "preparing") return words.preparing;
  if (stage === "storing") return words.putting;
  // Null in the first half second; missing where the service does not tell.
  return job.progress === null ? words.preparing : words.restoring(done ?? 0, stage ? faces : null);
}

/** How much of it is done, 0 to 1, for a bar; null where nothing can be said. */
export function measure(task) {
  if (task.ended) return 1;
  if (task.state === State.SENDING) return task.sent < 1 ? task.sent : null;
  const { progress } = task.job || {};
  return task.state === State.SENT && progress?.stage === "restoring" && progress.faces ? progress.faces_done / progress.faces : null;
}

export class Cards {
  #list;
  #open;
  #cards = new Map();

  /** `list`: the element that holds them. `open(task)`: shows one. */
  constructor(list, open) { this.#list = list; this.#open = open; }

  /** These tasks are in the list now, in this order. */
  render(tasks) {
    for (const task of this.#cards.keys()) if (!tasks.includes(task)) this.#cards.delete(task);
    const elements = tasks.map((task) => {
      if (!this.#cards.has(task)) this.#cards.set(task, this.#make(task));
      return this.#cards.get(task).element;
    });
    if (elements.length !== this.#list.childElementCount || elements.some((element, at) => element !== this.#list.children[at])) {
      this.#list.replaceChildren(...elements);
    }
    for (const task of tasks) this.update(task);
  }

  update(task) {
    const card = this.#cards.get(task);
    if (!card) return;
    const said = tell(task);
    const stamp = task.state + said + task.sent;
    if (card.thumb !== task.thumb) {
      card.thumb = task.thumb;
      card.picture.replaceChildren(thumbnail(task.thumb, "large-thumb"));
    }
    if (card.stamp === stamp) return;
    card.stamp = stamp;
    card.element.className = task.state;
    card.state.textContent = task.ended && task.expires && task.state === State.DONE ? said + ", " + words.expires(task.expires) : said;
    card.button.ariaLabel = words.open(task.name, said);
    const share = measure(task);
    card.bar.hidden = task.ended || task.state === State.WAITING;
    if (share === null) card.bar.removeAttribute("value"); else card.bar.value = share;
  }

  focus(task) { this.#cards.get(task)?.button.focus(); }

  #make(task) {
    const picture = make("span", { className: "picture" });
    const bar = make("progress", { max: 1, hidden: true, ariaHidden: "true" });
    const state = make("span", { className: "soft" });
    const button = make("button", { type: "button" }, picture, bar, make("span", { className: "name" }, task.name), state);
    button.onclick = () => this.#open(task);
    return { element: make("li", {}, button), button, picture, bar, state, thumb: undefined, stamp: "" };
  }
}
