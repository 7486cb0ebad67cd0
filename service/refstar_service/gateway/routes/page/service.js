// The service: every request of the page, with the key if there is one, and what the service says it can do.

/** A refusal. `status` is 0 where no answer came; `retryAfter` is in seconds, or null. */
export class ProblemError extends Error {
  constructor(problem, status = 0, retryAfter = null) {
    super(problem.title);
    Object.assign(this, { problem, status, retryAfter });
  }
  /** Whether it is none of this request's doing: others would meet it too, and it may be over soon. */
  get passing() { return [0, 401, 429, 503].includes(this.status); }
  /** The last part of the problem's type; "" for what is no problem of this service. */
  get slug() { return slugOf(this.problem); }
}

export const slugOf = (problem) =>
  (problem.type || "").startsWith("/problems/") ? problem.type.slice("/problems/".length) : "";

// Until this tab is closed, and for this page alone.
let key = sessionStorage.getItem("refstar-key") || "";

export function useKey(given) {
  key = given;
  sessionStorage.setItem("refstar-key", key);
}

export const authorization = () => (key ? { Authorization: "Bearer " + key } : {});

/** What an answer that is no success means; dispatches "key-wanted" where a key is missing or wrong. */
export function refusal(status, body, retryAfter) {
  let problem = { title: "", detail: "" };
  try { problem = JSON.parse(body); } catch { /* a proxy answered in its own words */ }
  if (status === 401) document.dispatchEvent(new Event("key-wanted"));
  const seconds = retryAfter === null || retryAfter === "" ? NaN : Number(retryAfter);
  return new ProblemError(problem, status, Number.isFinite(seconds) ? seconds : null);
}

/** A response that is a success; raises ProblemError, or the signal's reason. */
export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...authorization() } });
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw new ProblemError({ title: "", detail: String(error.message || error) });
  }
  if (response.ok) return response;
  throw refusal(response.status, await response.text(), response.headers.get("Retry-After"));
}

export const read = async (path, options) => (await call(path, options)).json();

/** What this service offers; the defaults hold until it has answered. */
export const offers = { models: [], formats: [], mostReferences: 8, severalPeople: false, mostPeople: 1, changesPeople: false };

export async function learn() {
  const [listed, api] = await Promise.all([read("/v1/models"), read("/openapi.json")]);
  offers.models = listed.models;
  if (offers.models.length) offers.mostReferences = Math.max(...offers.models.map((model) => model.max_references));
  const schema = ({ $ref, ...own } = {}) => ($ref ? api.components.schemas[$ref.split("/").pop()] : own);
  const form = schema(api.paths["/v1/restorations"].post.requestBody.content["multipart/form-data"].schema);
  offers.formats = form.properties.format.enum.filter((name) => name !== "same");
  offers.severalPeople = form.properties.person?.type === "array";
  offers.mostPeople = form.properties.person?.maxItems ?? 8;
  offers.changesPeople = Boolean(api.paths["/v1/people/{person_id}"]?.patch);
}
