// What this browser keeps of its jobs until they expire: records, pictures before and after; and faces of stored people.
//
// The service deletes results soon after they are made (an hour by default), and an album may take longer than that. So
// results are copied here as they come, on the disk of this browser, not into memory. Where a browser keeps nothing
// (some do not in private windows), everything else works.

const LARGEST_COPY = 2 ** 21; // bytes; of larger photographs a smaller copy is kept
export const COPY_SIDE = 1600;

let opened = null;

function open() {
  opened ||= new Promise((resolve) => {
    let request;
    try { request = indexedDB.open("refstar", 1); } catch { resolve(null); return; }
    request.onupgradeneeded = () => {
      request.result.createObjectStore("jobs", { keyPath: "id" });
      request.result.createObjectStore("pictures");
      request.result.createObjectStore("faces");
    };
    request.onsuccess = () => {
      request.result.onversionchange = () => { request.result.close(); opened = null; }; // a newer page, in another tab
      resolve(request.result);
    };
    request.onerror = request.onblocked = () => resolve(null);
  });
  return opened;
}

/** What `use(store, ...)` asked of these stores; null if nothing can be kept. */
async function transact(names, mode, use) {
  const database = await open();
  if (!database) return null;
  return new Promise((resolve) => {
    let transaction, request;
    try {
      transaction = database.transaction(names, mode);
      request = use(...names.map((name) => transaction.objectStore(name)));
    } catch { resolve(null); return; }
    transaction.oncomplete = () => resolve(request ? request.result ?? null : true);
    transaction.onabort = transaction.onerror = () => resolve(null); // no room, mostly
  });
}

/** Whether a photograph is kept as it is, or as a smaller copy. */
export const isKeptWhole = (file) => file.size <= LARGEST_COPY;

/** `record`: {id, name, expires, ...}; `before`: the photograph. */
export const remember = (record, before) => transact(["jobs", "pictures"], "readwrite", (jobs, pictures) => {
  jobs.put(record);
  if (before) pictures.put(before, record.id + "/before");
});

/** Whether the result could be kept. */
export const keepResult = async (record, result) =>
  Boolean(await transact(["jobs", "pictures"], "readwrite", (jobs, pictures) => {
    jobs.put(record);
    pictures.put(result, record.id + "/after");
  }));

/** The picture "before" or "after"; null if it is not here. */
export const findPicture = (id, which) => transact(["pictures"], "readonly", (pictures) => pictures.get(id + "/" + which));

export const listRecords = async () => (await transact(["jobs"], "readonly", (jobs) => jobs.getAll())) || [];

export const forget = (id) => transact(["jobs", "pictures"], "readwrite", (jobs, pictures) => {
  jobs.delete(id);
  pictures.delete(id + "/before");
  pictures.delete(id + "/after");
});

/** The records that have not expired, oldest first; the others are deleted with their pictures. */
export async function listLasting(now = Date.now()) {
  const records = await listRecords();
  const lasts = (record) => Date.parse(record.expires) > now;
  await Promise.all(records.filter((record) => !lasts(record)).map((record) => forget(record.id)));
  return records.filter(lasts).sort((a, b) => a.began - b.began);
}

/** Small pictures of a stored person's faces: [{index, name, thumb}]. */
export const keepFaces = (person, faces) => transact(["faces"], "readwrite", (store) => { store.put(faces, person); });
export const findFaces = async (person) => (await transact(["faces"], "readonly", (store) => store.get(person))) || [];
export const forgetFaces = (person) => transact(["faces"], "readwrite", (store) => { store.delete(person); });

/** Forgets the faces of everybody else. */
export async function keepFacesOf(people) {
  const keys = (await transact(["faces"], "readonly", (store) => store.getAllKeys())) || [];
  await Promise.all(keys.filter((person) => !people.includes(person)).map(forgetFaces));
}
