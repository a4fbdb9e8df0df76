import assert from "node:assert/strict";
import { getFields } from "../../../src/request/get-params.ts";
import { putParams } from "../../../src/request/put-params.ts";
import { sourceFields } from "../../../src/request/source.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** A pipeline, or the part of one that a block of a page shows. */
export interface Pipeline extends Fields {
  readonly resources: readonly Fields[];
  readonly jobs?: readonly Fields[];
}

const repository = "registry.example/web";

/** The pipeline that a block is a part of: steps, resources, one resource or step, or some fields of a source or a put. */
export function pipelineOf(block: unknown): Pipeline {
  const list = Array.isArray(block) ? (block as Fields[]) : undefined;
  const has = (...names: readonly string[]) =>
    (list ?? [block as Fields]).every((part) => names.some((name) => name in part));
  if (has("put", "get", "task", "load_var")) return withSteps(list ?? [block as Fields]);
  if (has("type")) return { resources: list ?? [block as Fields] };
  assert.ok(list === undefined, "a list of neither steps nor resources");
  const fields = block as Fields;
  if (has("jobs", "resources", "resource_types")) return withResources(fields);
  if (has("source")) return { resources: [{ name: "web", type: "oci-build", ...fields }] };
  const params = Object.keys(fields["params"] ?? {});
  if (params.length > 0 && params.every((name) => /^[A-Z]/.test(name))) return withSteps([ownTask(fields)]);
  if (has("params", "get_params", "inputs")) return withSteps([{ put: "web", ...fields }]);
  const names = Object.keys(fields);
  if (names.every((name) => name in sourceFields))
    return { resources: [{ name: "web", type: "oci-build", source: { repository, ...fields } }] };
  if (names.every((name) => name in putParams)) return withSteps([{ put: "web", params: fields }]);
  assert.ok(
    names.every((name) => name in getFields),
    `what is a block of ${names.join(", ")}?`,
  );
  return withSteps([{ get: "web", params: fields }]);
}

/** A task in our image. */
function ownTask({ params }: Fields): Fields {
  const source = { repository: "registry.example/ci/oci-build-resource" };
  const image = { type: "registry-image", source };
  return { task: "build", config: { image_resource: image, params, run: { path: "build" } } };
}

function withSteps(plan: readonly Fields[]): Pipeline {
  return withResources({ jobs: [{ name: "build", plan }] });
}

/** With the resources that a block leaves out: what is put, and nowhere declared, is an image. */
function withResources(pipeline: Fields): Pipeline {
  const resources = (pipeline["resources"] ?? []) as readonly Fields[];
  const put = JSON.stringify(pipeline["jobs"] ?? []).matchAll(/"put":"([^"]+)"/g);
  const missing = new Set([...put].map(([, name]) => name));
  for (const { name } of resources) missing.delete(name as string);
  const images = [...missing].map((name) => ({ name, type: "oci-build", source: { repository } }));
  return { ...pipeline, resources: [...resources, ...images] };
}
