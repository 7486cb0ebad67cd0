// Saving many results as one ZIP file: straight to the disk where the browser lets a page write there, else put
// together from the copies on this browser's disk and then downloaded. Either way one result is in memory at a time.

import { Zip } from "./zip.js";

/** Offers a blob as a download. */
export function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser has begun to copy it by then
}

/** Where the ZIP file goes: {write, finish, drop}; null if the user thought better of it. */
async function openTarget(name) {
  if (window.showSaveFilePicker) {
    try {
      const handle = await window.showSaveFilePicker({ suggestedName: name, types: [{ accept: { "application/zip": [".zip"] } }] });
      const file = await handle.createWritable();
      return { write: (piece) => file.write(piece), finish: () => file.close(), drop: () => file.abort() };
    } catch (error) {
      if (error.name === "AbortError") return null;
    }
  }
  const pieces = [];
  return {
    write: (piece) => { pieces.push(piece); },
    finish: () => download(new Blob(pieces, { type: "application/zip" }), name),
    drop: () => { pieces.length = 0; },
  };
}

/** Saves the results of these tasks. Gives {saved, missing} (tasks), or null if the user thought better of it. */
export async function saveAll(tasks, name, onProgress) {
  const target = await openTarget(name);
  if (!target) return null;
  const zip = new Zip(target.write);
  const outcome = { saved: [], missing: [] };
  try {
    for (const task of tasks) {
      onProgress(outcome.saved.length, tasks.length);
      let result = null;
      try { result = await task.result(); } catch { /* it has expired, or was deleted elsewhere */ }
      if (result) await zip.add(task.resultName, result, new Date(task.job.finished_at || task.began));
      outcome[result ? "saved" : "missing"].push(task);
    }
    await zip.end();
    await target.finish();
    return outcome;
  } catch (error) {
    await target.drop();
    throw error;
  }
}
