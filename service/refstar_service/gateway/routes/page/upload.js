// An upload: a form that is sent once, however often the connection breaks, and tells how far it is.

import { patiently } from "./patience.js";
import { ProblemError, authorization, refusal } from "./service.js";

/** Not crypto.randomUUID, which pages without TLS do not have. */
const newToken = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** The resource that the form made or changed. `onProgress` gets the share that was sent, 0 to 1. */
export function upload(path, data, { method = "POST", signal, onProgress = () => {}, waiting } = {}) {
  const headers = { ...authorization(), "Idempotency-Key": '"' + newToken() + '"' };
  return patiently(() => sendOnce(method, path, data, headers, signal, onProgress), { signal, waiting });
}

// fetch does not tell how much was sent.
function sendOnce(method, path, data, headers, signal, onProgress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => { if (event.lengthComputable) onProgress(event.loaded / event.total); };
    request.onload = () => {
      if (request.status >= 200 && request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refusal(request.status, request.responseText, request.getResponseHeader("Retry-After")));
    };
    request.onerror = () => reject(new ProblemError({ title: "", detail: "" }));
    request.onabort = () => reject(signal.reason);
    if (signal?.aborted) { reject(signal.reason); return; }
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    onProgress(0);
    request.send(data);
  });
}
