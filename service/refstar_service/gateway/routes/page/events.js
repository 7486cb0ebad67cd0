// A job as it changes: by its event stream where one is free, else by asking.
//
// A browser opens six connections to a server at most, for all its tabs, and a stream holds one for as long as its job
// takes. So the tabs together keep three streams; jobs without one are asked about, as often as the service says.

import { patiently, pause } from "./patience.js";
import { ProblemError, call } from "./service.js";

const STREAMS = 3; // of all tabs together; of each tab alone one, where tabs cannot agree (without TLS)
const LONGEST_POLL = 15; // seconds

export const hasEnded = (job) => !["queued", "running"].includes(job.status);

/** Tells `onChange` of every state of the job, and gives the last one. Raises ProblemError, or the signal's reason. */
export async function follow(job, onChange, signal) {
  while (!hasEnded(job)) {
    onChange(job);
    const seen = await holdStream(() => readStream(job, onChange, signal));
    if (seen && hasEnded(seen)) { job = seen; break; }
    const response = await patiently(() => call(job.links.self, { signal }), { signal });
    job = await response.json();
    onChange(job);
    if (!hasEnded(job)) await pause(Math.min(Number(response.headers.get("Retry-After")) || 1, LONGEST_POLL), signal);
  }
  onChange(job);
  return job;
}

let held = 0;

/** What `use` gives while a stream is free; undefined otherwise. */
async function holdStream(use) {
  if (!navigator.locks) {
    if (held) return undefined;
    held += 1;
    try { return await use(); } finally { held -= 1; }
  }
  for (let number = 1; number <= STREAMS; number += 1) {
    const [given, result] = await navigator.locks.request("refstar-stream-" + number, { ifAvailable: true },
      async (lock) => (lock ? [true, await use()] : [false, undefined]));
    if (given) return result;
  }
  return undefined;
}

/** The last state that the stream told of; null if it broke off before any. */
async function readStream(job, onChange, signal) {
  let last = null;
  let response;
  try {
    response = await call(job.links.events || job.links.self + "/events", { signal, headers: { Accept: "text/event-stream" } });
  } catch (error) {
    if (error instanceof ProblemError && error.slug !== "unknown-restoration") return null; // asking has to do
    throw error;
  }
  if (response.status === 204) return null;
  try {
    for await (const event of parseEvents(response.body)) {
      if (event.name === "deleted") throw new ProblemError({ type: "/problems/unknown-restoration", title: "" }, 404);
      last = JSON.parse(event.data);
      if (hasEnded(last)) return last;
      onChange(last);
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof ProblemError) throw error;
  }
  return last;
}

/** The events in a stream of bytes, as the HTML standard has them: {name, data}. */
export async function* parseEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", name = "message", data = [];
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          if (data.length) yield { name, data: data.join("\n") };
          name = "message"; data = [];
        } else if (!line.startsWith(":")) {
          const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
          if (field === "data") data.push(value);
          if (field === "event") name = value;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
