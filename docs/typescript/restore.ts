// A client made from the description of the API: `npm run generate` while the service runs, then `npm run build`.
// Restores a photograph with a reference: `npm run restore -- photograph.jpg reference.jpg restored.jpg`.
import { openAsBlob } from "node:fs";
import { writeFile } from "node:fs/promises";
import { basename } from "node:path";
import createClient from "openapi-fetch";
import type { components, paths } from "./refstar.js";

type RestorationForm = components["schemas"]["RestorationForm"];
// The description calls files strings of bytes; here they are what a FormData takes.
type Fields = Omit<RestorationForm, "image" | "references"> & { image: Blob; references?: Blob[] };
type Problem = components["schemas"]["ProblemDetails"];

const [photograph, reference, output] = process.argv.slice(2);
if (!photograph || !reference || !output) throw new Error("npm run restore -- PHOTOGRAPH REFERENCE OUTPUT");

const key = process.env.REFSTAR_API_KEY;
const service = createClient<paths>({
  baseUrl: process.env.REFSTAR_URL ?? "http://127.0.0.1:8000",
  headers: key ? { Authorization: `Bearer ${key}` } : {},
});

const read = async (path: string) => new File([await openAsBlob(path)], basename(path));

// Every field as a form sends it: files as they are, several under one name, all else as text.
function asForm(fields: Fields): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      form.append(name, one instanceof Blob ? one : String(one));
    }
  }
  return form;
}

const explain = (problem: Problem) => new Error(`${problem.title}: ${problem.detail} (${problem.type})`);

const fields: Fields = {
  image: await read(photograph),
  references: [await read(reference)],
  faces: "largest",
  upscale: 2,
};
const created = await service.POST("/v1/restorations", {
  params: { header: { Prefer: "wait=30", "Idempotency-Key": `"${crypto.randomUUID()}"` } },
  body: fields as unknown as RestorationForm,
  bodySerializer: () => asForm(fields),
});
if (created.error) throw explain(created.error);

let restoration = created.data;
while (restoration.status === "queued" || restoration.status === "running") {
  const looked = await service.GET("/v1/restorations/{job_id}", {
    params: { path: { job_id: restoration.id }, header: { Prefer: "wait=30" } },
  });
  if (looked.error) throw explain(looked.error);
  restoration = looked.data;
}
if (restoration.error) throw explain(restoration.error);

const picture = await service.GET("/v1/restorations/{job_id}/image", {
  params: { path: { job_id: restoration.id } },
  parseAs: "blob",
});
if (picture.error) throw explain(picture.error);
await writeFile(output, Buffer.from(await picture.data.arrayBuffer()));
const restored = restoration.faces.filter((face) => face.action === "restored").length;
console.log(`${restored} of ${restoration.faces.length} faces restored`);
