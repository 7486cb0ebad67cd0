// All words of the page, for a translator: labels by name, sentences as functions. No names of the API stand here.

const count = (number, one, many) => (number === 1 ? "1 " + one : number + " " + many);
const percent = (share) => Math.round(share * 100) + " %";

export function duration(seconds) {
  if (seconds < 5) return "a few seconds";
  if (seconds < 55) return Math.ceil(seconds / 5) * 5 + " seconds";
  if (seconds < 90) return "a minute";
  if (seconds < 55 * 60) return Math.round(seconds / 60) + " minutes";
  return count(Math.max(1, Math.round(seconds / 3600)), "hour", "hours");
}

export const clock = (date) => date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
export const day = (date) => date.toLocaleDateString([], { day: "numeric", month: "long" });
const until = (date) => (date - Date.now() < 20 * 3600_000 ? clock(date) : day(date));

/** Texts of index.html, by their data-say. */
export const labels = {
  tagline: "Restore the faces in degraded photographs, using other photographs of the same people.",
  restore: "Restore", people: "People",
  keyNeeded: "This service requires an API key", useKey: "Use this key",
  photographs: "Photographs", choosePhotographs: "Choose photographs", dropThem: ", drop them here or paste them",
  remove: "Remove", turn: "Turn", removeAll: "Remove all",
  unseen: "This browser cannot display this file, but the service may be able to read it.",
  who: "Who is in them",
  anotherPerson: "Add another person", keepPeople: "Keep these people for next time (see People)",
  faces: "Faces to restore", automatic: "automatic", all: "all", largest: "largest", center: "center",
  boxes: "the ones I mark", aligned: "it is a face crop",
  addBox: "Add a box", clearBoxes: "Remove all boxes",
  size: "Size of the result", original: "original", double: "2 ×", fourfold: "4 ×",
  options: "More options",
  fidelity: "Fidelity", fidelityHelp: "left: more detail; right: closer to the photograph",
  strength: "Use of the references", strengthHelp: "how much may be taken from them",
  stranger: "If a reference is probably of somebody else",
  strangerIgnore: "hardly use it", strangerRefuse: "leave the face as it was", strangerUse: "use it all the same",
  model: "Model", defaultModel: "default", format: "File type", sameFormat: "unchanged",
  minFace: "Smallest face, in pixels", minScore: "How sure a face must be", quality: "Quality, in percent",
  largestFace: "If a reference shows several faces, use the largest",
  grain: "Give restored faces the grain of the photograph",
  keep: "Leave a face as it was if its restoration is no better",
  keepLocation: "Keep the location (GPS) of the photograph in the result",
  empty: "The restored photographs will appear here, with what was found in them.",
  goOn: "Continue", cancelAll: "Cancel all", cancel: "Cancel", downloadAll: "Download all (ZIP)",
  back: "All photographs", previous: "Previous", next: "Next",
  before: "before", after: "after", wholePicture: "Whole picture", showBoxes: "Show boxes around faces",
  cut: "How much of the original picture is shown", notShown: "This browser cannot display this file type. Download the result, or choose another file type.",
  download: "Download", deleteNow: "Delete now", technical: "For whoever runs the service",
  faceList: "Faces", referenceList: "References", selectionTitle: "What was taken from where",
  selectionHelp: "Where a color is strong, much was taken from these photographs. Where there is none, the face comes from the picture itself.",
  earlier: "Earlier", earlierHelp: "Restored in this browser. Copies are kept on this computer until they expire in the service.",
  newPerson: "Store a person", newPersonHelp: "The service looks at the photographs once and keeps the faces, not the photographs. " +
    "Then you can pick the person for any photograph.",
  name: "Name", addPictures: "Add photographs", dropHere: "or drop them here", store: "Store",
  storedPeople: "Stored people", nobody: "No people are stored yet.",
  footer: "Restoration can invent detail. Do not use results for identification or as evidence. Pictures are deleted when they expire.",
  apiReference: "API reference",
};

export const form = {
  chooseMore: "Choose more",
  whoHelp: (most) => "For each person, up to " + most + " sharp photographs with one face each. They are optional, but without them " +
    "a result may not look like the person.",
  restore: (photos) => (photos > 1 ? "Restore " + photos + " photographs" : "Restore"),
  noPhoto: "Choose a photograph first.",
  surplus: (name, surplus) => "Remove " + count(surplus, "photograph", "photographs") + " of " + name + ".",
  tooManyPeople: (most) => "Name " + most + " people at most.",
  markOne: "Mark at least one face.",
  person: (number) => "Person " + number,
  personName: "Name (optional)",
  references: "Add photographs of this person",
  removePerson: (name) => "Remove " + name,
  stored: "Stored people", pick: (person) => person.name || "without a name",
  sizes: (photo) => photo.name + (photo.size ? ", " + photo.size.width + " × " + photo.size.height : ""),
  result: ({ width, height }, scale) => width * scale + " × " + height * scale + " pixels",
  unused: (model) => "The model " + model + " does not use this.",
  once: "With several photographs or people, the service stores the references for as long as it takes, and then deletes them.",
  faces: {
    "": (people, several) => (several ? "All faces, each with the photographs of the person it shows." : people ? "The largest face, because there are references."
      : "All faces, or the largest if you add references."),
    all: (people, several) => "Every face that is found" + (people && !several ? ", all with the same references." : "."),
    largest: () => "The largest face of each photograph.",
    center: () => "The face closest to the center of the picture.",
    boxes: () => "Drag a box around each face. Drag the box to move it and its corner to resize it, or use the arrow keys (with Shift to " +
      "resize, Delete to remove). Photographs without a box are restored as with “automatic”.",
    aligned: () => "The photograph and the references are square face crops with the eyes level and the face filling most of the crop.",
  },
  unmarkable: "To draw boxes, choose a picture that this browser can display.",
  box: (number, box) => "Box " + number + ", " + [box.x, box.y, box.width, box.height].map(Math.round).join(", ") +
    ". Arrow keys move it, Shift with arrow keys resizes it, Delete removes it.",
  removeBox: "Remove this box",
};

export const STEPS = ["sending", "waiting", "preparing", "restoring", "storing"];
export const steps = {
  sending: "Send", waiting: "Wait in the queue", preparing: "Find faces", restoring: "Restore faces", storing: "Put together",
};

export const progress = {
  waiting: "Waiting for its turn",
  storing: "Looking at the references",
  sending: (share) => (share < 1 ? "Sending, " + percent(share) : "Sent; the service is reading it"),
  paused: (seconds, answers) => (answers ? "The service is busy" : "The service does not respond") + "; trying again in " + duration(seconds),
  queued: (ahead) => (ahead ? count(ahead, "photograph is", "photographs are") + " ahead of this one" : "Next in the queue"),
  preparing: "Looking for faces",
  restoring: (done, faces) => (faces === null ? "Restoring" : faces === 1 ? "Restoring the face" : "Restoring face " + Math.min(done + 1, faces) + " of " + faces),
  putting: "Putting the faces into the photograph",
  fetching: "Fetching the result",
  canceling: "Canceling",
  done: "Done", kept: "Left as it was", failed: "Not restored", canceled: "Canceled",
  left: (seconds) => (seconds < 5 ? "" : "about ") + duration(seconds) + " left",
  album: (ended, all) => ended + " of " + count(all, "photograph", "photographs"),
  albumDone: (done, all) => (done === all ? (all === 2 ? "Both photographs are done" : "All " + all + " photographs are done") : done + " of " + all + " photographs are done"),
  zipping: (at, all) => "Saving " + at + " of " + all,
  zipped: (missing) => (missing ? count(missing, "result is", "results are") + " missing in the file: no longer there. Restore " + (missing === 1 ? "it" : "them") + " again." : ""),
  zipName: "restored-photographs.zip",
  zipFailed: "The file could not be written. Is there enough room on the disk?",
  halted: ([what, remedy]) => what + ". The photographs that are left wait. " + remedy,
  expires: (date) => "kept until " + until(date),
  open: (name, state) => name + ": " + state,
};

export const report = {
  restored: "Before and after", unchanged: "Left as it was", found: "What was found",
  summary: (width, height, seconds, model) => [width && width + " × " + height + " pixels", seconds && seconds + " s", "model " + model].filter(Boolean).join(" · "),
  face: (number) => "Face " + number,
  zoom: "Zoom in", zoomOn: (number) => "Zoom in on face " + number,
  actions: { restored: "Restored", kept: "Left as it was", skipped: "Not chosen", failed: "Not restored" },
  pixels: (width, height) => Math.round(width) + " × " + Math.round(height) + " pixels in the photograph",
  unsure: "The service is not sure that this is a face.",
  taken: (share) => percent(share) + " of it was taken from ",
  takenMore: (share) => percent(share) + " from ",
  hardly: "Hardly anything was taken from ", and: " and ", stop: ". ",
  notSame: " (probably not the same person)",
  isOther: " is probably not the same person. Leave it out, or choose another photograph.",
  alone: "Without references, so it may not look like the person.",
  isPerson: (name) => "Taken for " + (name || "somebody you named") + ", as far as the model can tell.",
  wrongPerson: "Who is who is the model's guess. If it is wrong, mark the face with a box and name only whom it shows.",
  isNobody: "Taken for none of the people you named, so it was restored without references.",
  reasons: {
    "not-largest": "It is not the largest face. To restore it too, choose “all” under “Faces to restore”.",
    "not-center": "It is not the one closest to the center.",
    "not-in-boxes": "It is in none of your boxes. To restore it too, mark it.",
    "face-too-small": "It is too small. A larger scan helps most.",
    "too-many-faces": "There are more faces than one restoration can process. Split the photograph into parts.",
    "no-face-found": "There is no face in this box. Draw it from brow to chin.",
    "points-unusable": "Eyes, nose and mouth could not be located. Mark the face with a box, or crop it and choose “it is a face crop”.",
    "not-finite": "The model gave no usable result.",
    "already-sharp": "It is sharp already, and the restoration was no sharper. If you want to see the restoration, restore it anyway.",
    "not-plausible": "The restoration did not fit the photograph. Bars, a net, a hand or the dots of a print may cover the face: scan prints " +
      "with “descreen” on, or choose another photograph. To see it all the same, restore it anyway.",
  },
  otherReason: "A reference was refused, so nothing was restored.",
  anyway: "Restore it anyway",
  sideways: "This photograph seems to lie on its side. Faces are restored as they stand, but the service sees more in an upright photograph.",
  headless: "This photograph seems to stand on its head. Faces are restored as they stand, but the service sees more in an upright photograph.",
  turnIt: "Turn it and restore again",
  reference: (index, name) => name || "Reference " + index,
  noFace: (name) => "no face in this photograph was taken for " + (name || "this person") + ".",
  used: "Used", unneeded: "Not used", usable: "Could be used", refused: "Refused", leftOut: "Left out",
  referenceReasons: {
    "reference-too-small": "its face is too small to help. At least 40 pixels between the eyes are needed.",
    "reference-too-blurred": "its face is too blurred to help. Choose a sharper one.",
    "reference-without-face": "no face was found in it. Choose one that shows the face from the front.",
    "several-faces": "it shows several faces. Crop it to one person, or let the largest be used.",
    "reference-surplus": "others of this person are sharper, and no more are taken.",
    "reference-removed": "you removed it.",
  },
  other: "Probably not the same person. ", useAnyway: "If it is, choose “use it all the same” under “More options”.",
  stranger: "Hardly anything was taken from it. Either the photograph needed little, or this is somebody else or looks too different: " +
    "then leave it out, or choose one of about the same age and pose.",
  measured: (size) => "face of " + Math.round(size) + " pixels",
  selectionAlt: "The photograph in gray, with colors where something was taken",
  smallCopy: "Before: a smaller copy, since the photograph itself is not kept here.",
};

export const people = {
  status: { preparing: "The service is looking at the photographs", ready: "", failed: "No photograph can be used" },
  notAdded: "The last photographs were not added",
  about: (photographs, expires) => count(photographs, "photograph", "photographs") + ", kept until " + day(expires),
  rename: "Rename", renamed: (name) => "New name for " + (name || "this person"),
  save: "Save", add: "Add photographs", remove: (name) => "Remove photograph " + name, delete: "Delete",
  confirm: (name) => "Delete everything stored of " + (name || "this person") + "?", really: "Delete everything", no: "Keep",
  pick: "Use for a photograph",
  unnamed: "Without a name",
  stored: (name) => (name || "The person") + " is stored.",
  refused: (names) => names.join(", ") + ": ",
  noPictures: "Add at least one photograph.",
  guest: "stored for an album only",
  storing: (share) => (share < 1 ? "Sending, " + percent(share) : "The service is looking at the photographs"),
};

/** What a problem means to whoever sits before the page, and what can be done: [what happened, what to do]. */
const FILE = "Open it in another program and save it again as JPEG or PNG.";
const LATER = "Try again in a moment.";
const OPERATOR = "Ask whoever runs this service.";
export const problems = {
  "": ["The service does not respond", "Check that it is running and that you are connected, then try again."],
  "key-required": ["This service requires a key", "Enter it at the top of this page."],
  "key-invalid": ["This key is not valid", "It may be mistyped or revoked. " + OPERATOR],
  "quota-exceeded": ["Your share of this service is used up for now", "Continue later, or ask whoever runs the service for more."],
  "too-many-unfinished": ["Too many of your photographs are waiting", "Wait until some are done, or cancel some."],
  "queue-full": ["Many photographs are waiting", LATER],
  "storage-full": ["The service has no room for more pictures at the moment", "Delete results and people that you no longer need, or try again later."],
  "too-many-uploads": ["Many people are sending pictures at the moment", LATER],
  "too-many-connections": ["Many people are using the service at the moment", LATER],
  "queue-unavailable": ["The service is out of order for the moment", "What was sent is not lost. " + LATER],
  "storage-unavailable": ["The service cannot store pictures at the moment", LATER],
  "keys-unavailable": ["The service cannot check keys at the moment", LATER],
  "not-ready": ["The service is not ready", LATER],
  "no-model": ["This service has no model installed", OPERATOR],
  "unknown-model": ["This model is no longer there", "Reload this page and choose another."],
  "no-face-found": ["No face was found", "If there is one, mark it with a box. A larger or better scan helps too."],
  "face-too-small": ["Every face is too small", "A larger scan helps most. Or let smaller faces count, under “More options”: but most of what you see then is invented."],
  "reference-without-face": ["A reference shows no face", "Choose a photograph that shows the face from the front, or leave it out."],
  "several-faces": ["A reference shows several faces", "Crop it to one person, or let the largest face be used."],
  "reference-too-small": ["The faces in the references are too small to help", "Choose some with at least 40 pixels between the eyes."],
  "reference-too-blurred": ["The references are too blurred to help", "Choose sharper ones."],
  "reference-stranger": ["A reference is probably not of the same person", "Leave it out or choose another. If you know that it is the same person, choose “use it all the same” under “More options”."],
  "reference-surplus": ["There are more references than are used", "Leave out those that are least sharp."],
  "reference-removed": ["This photograph of the person was removed", "Add it again if you still want it to be used."],
  "references-required": ["This model needs at least one reference", "Add a photograph of the person, or choose another model."],
  "too-many-references": ["There are too many references", "A few sharp ones are better than many: remove some."],
  "missing-references": ["There is no photograph of this person yet", "Add at least one."],
  "unknown-person": ["A person you picked is no longer stored", "Store the person again, or restore without."],
  "person-gone": ["A person was deleted before the work began", "Store the person again, then restore again."],
  "person-failed": ["None of this person's photographs can be used", "Delete the person and choose other photographs."],
  "person-not-ready": ["The service is still looking at this person's photographs", LATER],
  "too-many-people": ["No more people can be stored", "Delete some that you no longer need."],
  "image-too-many-bytes": ["The file is too large", "Save it with stronger compression, or smaller."],
  "request-too-large": ["These files are too large together", "Use fewer or smaller references."],
  "image-too-many-pixels": ["The picture is too large", "Scale it down or crop it."],
  "image-too-small": ["The picture is too small", "Scan it larger."],
  "result-too-large": ["The enlarged picture would be too large", "Choose a smaller size of the result."],
  "not-square": ["A face crop must be square", "Crop it to a square, or choose something else under “Faces to restore”."],
  "image-empty": ["The file is empty", "Check it: perhaps it was not copied to its end."],
  "not-an-image": ["The file is not a picture", "Choose a JPEG, PNG, WebP, TIFF, HEIC or another picture."],
  "image-type-unsupported": ["This type of picture cannot be read", FILE],
  "image-type-mismatch": ["The file is not what its name says", FILE],
  "image-truncated": ["The file is incomplete", "Copy it again from where it came from. Missing parts are never made up."],
  "image-animated": ["The file has more than one picture", "Save one of them as a picture of its own."],
  "image-undecodable": ["The picture cannot be read", "It is damaged, or of an unusual kind. " + FILE],
  "missing-image": ["The photograph did not arrive", "Choose it again: perhaps the file was moved."],
  "invalid-parameter": ["The service does not take these choices together", "Change something under “Faces to restore” or “More options”."],
  "unknown-parameter": ["This page is older than the service", "Reload it."],
  "malformed-request": ["The photograph did not arrive whole", LATER],
  "unsupported-media-type": ["The photograph did not arrive whole", LATER],
  "upload-timeout": ["Sending took too long", "Use a faster connection, or smaller files."],
  "inference-failed": ["The model could not restore this photograph", "Try again. If it fails again, tell whoever runs the service."],
  "worker-lost": ["The service broke down over this photograph", "Tell whoever runs it, with the number below."],
  "record-unreadable": ["The service was updated in between", "Send the photograph again."],
  "internal-error": ["Something went wrong in the service", "Tell whoever runs it, with the number below."],
  "input-expired": ["It waited too long", "Send the photograph again."],
  "restoration-expired": ["There is no result any more", "It was deleted after a while, or nobody came to it in time. Send the photograph again."],
  "unknown-restoration": ["The result is no longer there", "It was deleted or has expired. Send the photograph again."],
  "restoration-failed": ["There is no result", "Send the photograph again."],
  "restoration-canceled": ["It was canceled", "Send the photograph again if you still want the result."],
  "result-not-ready": ["The result is not ready yet", LATER],
};
export const otherProblem = (title) => [title || "Something went wrong", "Try again. If it happens again, tell whoever runs the service."];
export const requestNumber = (id) => "Request " + id;

export const remedies = {
  again: "Try again",
  largestReference: "Use the largest face of each reference",
  originalSize: "Restore without enlarging",
  smallFaces: "Restore small faces too",
  markFace: "Mark the face",
  withoutReference: "Restore without it",
  remove: "Remove",
};
