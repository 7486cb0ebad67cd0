// Patience: what the service refuses for the moment is asked again when it says so.

import { ProblemError } from "./service.js";

const LONGEST = 600; // seconds; who is told to come back later than that is told so
const MOST_FAILURES = 6; // in a row without any answer: about two minutes

export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const leave = () => { clearTimeout(timer); reject(signal.reason); };
    const timer = setTimeout(() => { signal?.removeEventListener("abort", leave); resolve(); }, seconds * 1000);
    if (signal?.aborted) leave();
    signal?.addEventListener("abort", leave, { once: true });
  });
}

/** What `ask` gives. It must be safe to repeat. `waiting(seconds, problem)` is told of every wait. */
export async function patiently(ask, { signal, waiting = () => {} } = {}) {
  for (let failures = 0; ;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error;
      const seconds = error.status === 0 ? 2 ** ++failures : error.retryAfter;
      const passing = error.status === 0 ? failures <= MOST_FAILURES
        : (error.status === 429 || error.status === 503 || error.slug === "idempotent-request-running") &&
          seconds !== null && seconds <= LONGEST;
      if (!passing) throw error;
      if (error.status) failures = 0;
      waiting(seconds, error.problem);
      await pause(Math.max(seconds, 0.5) * (1 + Math.random() / 4), signal);
    }
  }
}
