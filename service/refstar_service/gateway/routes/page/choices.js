// The choices of the form that hold for every photograph: faces, size, model, knobs.

import { byId } from "./dom.js";
import { chooseModel, fullName } from "./model_choice.js";
import { offers } from "./service.js";
import { form as words } from "./words.js";

const OF_MODELS = ["fidelity", "reference_strength", "stranger"]; // knobs that not every model has
const SLIDERS = ["fidelity", "reference_strength"]; // their values are shown beside them
const OF_PHOTOGRAPHS = ["min_face", "min_score", "reference_face", "grain"]; // knobs that a face crop does not have
const FILE_TYPES = { webp: "WebP" };

export const faceMode = () => document.querySelector("[name=faces]:checked").value;
export const upscale = () => Number(document.querySelector("[name=upscale]:checked").value);
export const choose = (name, value) => { document.querySelector("[name=" + name + "][value='" + value + "']").checked = true; };

/** The fields of every photograph, as [name, value] pairs. */
export function readFields() {
  const fields = [...OF_MODELS, "model", "format", "quality"].filter((id) => !byId(id).disabled && byId(id).value !== "")
    .map((id) => [id, byId(id).value]);
  if (faceMode()) fields.push(["faces", faceMode()]);
  if (!byId("keep").checked) fields.push(["keep", "false"]);
  if (byId("keep_location").checked) fields.push(["keep_location", "true"]);
  fields.push(["upscale", String(upscale())]);
  if (faceMode() === "aligned") return fields;
  if (!byId("grain").checked) fields.push(["grain", "false"]);
  fields.push(["min_face", byId("min_face").value], ["min_score", byId("min_score").value]);
  return fields;
}

/** The fields that say which face of a reference is meant. */
export function readReferenceFields() {
  if (faceMode() === "aligned") return [["aligned", "true"]];
  return byId("reference_face").checked ? [["reference_face", "largest"]] : [];
}

/** `references`: how many there are. */
export function renderChoices(references) {
  for (const id of OF_PHOTOGRAPHS) byId(id).disabled = faceMode() === "aligned";
  const model = chooseModel(offers.models, byId("model").value, references);
  for (const id of OF_MODELS) {
    byId(id).disabled = Boolean(model) && !model.knobs.includes(id);
    byId(id).title = byId(id).disabled ? words.unused(model.name) : "";
  }
  for (const id of SLIDERS) byId(id + "-out").value = Number(byId(id).value).toFixed(2);
}

/** Puts what the service offers into the form. */
export function offerChoices() {
  for (const id of ["model", "format"]) byId(id).length = 1; // once more after a key was given
  byId("model").append(...offers.models.map((model) => new Option(model.name + " " + model.version, fullName(model))));
  byId("format").append(...offers.formats.map((name) => new Option(FILE_TYPES[name] || name.toUpperCase(), name)));
}

export function onChoice(render) {
  for (const choice of document.querySelectorAll("[name=faces], [name=upscale], #model")) choice.onchange = render;
  for (const id of OF_MODELS) byId(id).oninput = render;
}
