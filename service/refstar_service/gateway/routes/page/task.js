// A task: one photograph on its way through the service and back, in this visit or an earlier one.

import { asBox } from "./dom.js";
import { follow, hasEnded } from "./events.js";
import * as history from "./history.js";
import { Pace } from "./pace.js";
import { patiently } from "./patience.js";
import { shrink } from "./picture.js";
import { ProblemError, call, read } from "./service.js";
import { upload } from "./upload.js";

export const State = Object.freeze({
  WAITING: "waiting", // for its turn in this page
  STORING: "storing", // its people are stored
  SENDING: "sending",
  PAUSED: "paused", // the service asked to come back later
  SENT: "sent", // queued or running, as `job` says
  FETCHING: "fetching",
  DONE: "done",
  FAILED: "failed",
  CANCELED: "canceled",
});
const ENDS = [State.DONE, State.FAILED, State.CANCELED];
const STOPPED = new DOMException("the user canceled it", "AbortError");
const THUMB_SIDE = 320; // pixels
let lastBegan = 0; // so that an album keeps its order

export class Task {
  state = State.WAITING;
  sent = 0; // share of the upload
  pausedFor = 0; // seconds
  answered = true; // whether the service said so, or did not respond at all
  job = null;
  problem = null;
  thumb = null; // of the photograph, then of the result
  size = null; // of the photograph
  resultName = "";
  kept = false; // whether the result is in this browser
  references = []; // as Order.describe gives them
  people = {}; // names by id
  pace = new Pace();
  onchange = () => {};
  #stop = new AbortController();

  constructor(photo, order) {
    Object.assign(this, { photo, order, name: photo.name, thumb: photo.thumb, upscale: order.upscale, mode: order.mode, began: lastBegan = Math.max(Date.now(), lastBegan + 1) });
  }

  /** One of an earlier visit. */
  static of(record) {
    const { name, thumb, size, upscale, mode, began, references, people, resultName, kept, job } = record;
    return Object.assign(new Task({ name, thumb }, { upscale, mode }), {
      photo: null, order: null, size, began, references, people, resultName, kept, job,
      state: job.status === "succeeded" && kept ? State.DONE : job.status === "canceled" ? State.CANCELED
        : job.status === "failed" ? State.FAILED : State.SENT,
      problem: job.error,
    });
  }

  get ended() { return ENDS.includes(this.state); }
  get expires() { return this.job ? new Date(this.job.expires_at) : null; }

  /**
   * Runs it to its end, whatever that is; never raises. With `mayHalt`, what would stop others too only makes it wait:
   * then the problem is given.
   */
  async run(mayHalt) {
    try {
      await this.#lookAt();
      if (!this.job) await this.#submit();
      await this.#receive();
    } catch (error) {
      if (error === STOPPED || this.#stop.signal.aborted) this.#become(State.CANCELED);
      else {
        const problem = error instanceof ProblemError ? error.problem : { title: "", detail: String(error) };
        problem.status ??= error.status;
        if (mayHalt && error.passing) { this.#become(State.WAITING); return problem; }
        this.problem = problem;
        this.#become(State.FAILED);
      }
    }
    await this.order?.close();
    if (this.job && this.order) await history.remember(this.#record());
    return null;
  }

  /** Ends it: at once before it was accepted, else as soon as the service has noticed. */
  async cancel() {
    if (this.ended) return;
    if (!this.job) {
      this.#stop.abort(STOPPED);
      if (this.state !== State.WAITING) return; // it ends by itself
      this.#become(State.CANCELED);
      await this.order?.close();
    } else if (!hasEnded(this.job)) {
      try { await call(this.job.links.self + "/cancel", { method: "POST" }); } catch { /* what comes of it will tell */ }
    }
  }

  /** Deletes it in the service and in this browser. */
  async remove() {
    await this.cancel();
    if (this.job) {
      await patiently(() => call("/v1/restorations/" + this.job.id, { method: "DELETE" }));
      await history.forget(this.job.id);
    }
  }

  /** The photograph; a smaller copy of it or null after a reload. */
  before() { return this.photo ? this.photo.file : history.findPicture(this.job.id, "before"); }

  /** The result: from this browser, else from the service. */
  async result() {
    return (this.kept && await history.findPicture(this.job.id, "after")) || (await patiently(() => call(this.job.links.image))).blob();
  }

  /** Seconds that are left, or null. */
  get left() { return this.pace.left(); }

  async #lookAt() {
    if (!this.photo) return;
    await this.photo.look();
    this.thumb ||= this.photo.thumb;
    this.size ||= this.photo.size;
  }

  async #submit() {
    const { signal } = this.#stop;
    const waiting = (seconds, problem) => {
      Object.assign(this, { pausedFor: seconds, answered: Boolean(problem.type) });
      this.#become(State.PAUSED);
    };
    if (signal.aborted) throw STOPPED;
    if (this.order.needsPeople) this.#become(State.STORING);
    const people = await this.order.prepare({ signal, waiting });
    this.people = Object.fromEntries(this.order.names);
    if (signal.aborted) throw STOPPED;
    const onProgress = (share) => { this.sent = share; this.#become(State.SENDING); };
    this.job = await upload("/v1/restorations", this.order.form(this.photo, people), { signal, onProgress, waiting });
    this.#become(State.SENT);
    const { file } = this.photo;
    const copy = history.isKeptWhole(file) ? file : (await shrink(file, history.COPY_SIDE, { quality: 0.9 }))?.blob;
    await history.remember(this.#record(), copy);
  }

  async #receive() {
    this.#become(State.SENT);
    // A record may be older than the job; and what a stopped page left may be gone.
    if (!this.order) this.job = await patiently(() => read("/v1/restorations/" + this.job.id));
    this.job = await follow(this.job, (job) => this.#note(job));
    if (this.order) this.references = await this.order.describe(this.job);
    if (this.job.status === "succeeded") await this.#fetch();
    else if (this.job.error) { this.problem = this.job.error; this.#become(State.FAILED); }
    else if (this.job.status === "canceled") this.#become(State.CANCELED);
    else throw new ProblemError({ type: "/problems/restoration-expired", title: "", detail: "" }, 410);
  }

  async #fetch() {
    this.#become(State.FETCHING);
    const [response, result] = await patiently(async () => {
      const answer = await call(this.job.links.image);
      return [answer, await answer.blob()];
    });
    this.resultName = readName(response) || "restored";
    const small = await shrink(result, THUMB_SIDE, { boxes: this.#boxes() });
    if (small) {
      this.thumb = small.blob;
      this.size ||= { width: small.width / this.upscale, height: small.height / this.upscale };
    }
    this.kept = true;
    this.kept = await history.keepResult(this.#record(), result);
    this.#become(State.DONE);
  }

  /** Boxes of the faces that it is about, in pixels of the result. */
  #boxes() {
    const faces = this.mode === "aligned" ? [] : this.job.faces.filter((face) => face.action !== "skipped");
    return faces.map((face) => asBox(face.box.map((value) => value * this.upscale)));
  }

  #note(job) {
    this.job = job;
    const { progress } = job;
    if (job.status === "queued" && job.queue_position !== null) this.pace.note(job.queue_position + 1);
    else if (progress?.stage === "restoring" && progress.faces) {
      if (this.stage !== "restoring") this.pace = new Pace();
      this.pace.note(progress.faces - progress.faces_done);
    } else this.pace = new Pace();
    this.stage = progress?.stage ?? null;
    this.#become(State.SENT);
  }

  #record() {
    const { name, thumb, size, upscale, mode, began, references, people, resultName, kept, job } = this;
    return { id: job.id, expires: job.expires_at, name, thumb, size, upscale, mode, began, references, people, resultName, kept, job };
  }

  #become(state) { this.state = state; this.onchange(this); }
}

function readName(response) {
  const header = response.headers.get("content-disposition") || "";
  const [, encoded] = /filename\*=UTF-8''([^;]+)/.exec(header) || [];
  const [, plain] = /filename="([^"]+)"/.exec(header) || [];
  return encoded ? decodeURIComponent(encoded) : plain;
}
