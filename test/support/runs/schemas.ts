import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { BuildRecord } from "../../../src/image/build-record.ts";
import { jsonSchemas } from "../../../tools/params/schemas.ts";

const ajv = addFormats.default(new Ajv2020({ allowUnionTypes: true, strictTypes: false }));
const schemas = jsonSchemas();

/** What the published JSON Schemas describe. */
export type Part = "source" | "put" | "get";

const validators = {
  source: ajv.compile(schemas["source.json"] ?? false),
  put: ajv.compile(schemas["put.json"] ?? false),
  get: ajv.compile(schemas["get.json"] ?? false),
};

/** Why a value isn't what its JSON Schema says; undefined when it is. */
export function schemaFault(part: Part, value: unknown): string | undefined {
  const validate = validators[part];
  return validate(value) ? undefined : `${part}: ${ajv.errorsText(validate.errors)}`;
}

const validatePipeline = ajv.compile(schemas["pipeline.json"] ?? false);

/** Why a pipeline isn't what its JSON Schema says; undefined when it is. */
export function pipelineFault(pipeline: unknown): string | undefined {
  return validatePipeline(pipeline) ? undefined : ajv.errorsText(validatePipeline.errors);
}

const validateRecord = ajv.compile(schemas["build.json"] ?? false);

/** Asserts that a value is the record of a build, as the published JSON Schema describes it. */
export function assertRecord(value: unknown): asserts value is BuildRecord {
  assert.ok(validateRecord(value), ajv.errorsText(validateRecord.errors));
}

/** Asserts that what the program has taken from stdin is what the published schemas allow. */
export function assertPublished(executable: "check" | "in" | "out" | "build", request: unknown): void {
  if (executable === "build" || typeof request !== "object" || request === null) return;
  const { source, params } = request as { source?: unknown; params?: unknown };
  const faults = [
    schemaFault("source", source),
    ...(executable === "check" ? [] : [schemaFault(executable === "out" ? "put" : "get", params ?? {})]),
  ];
  assert.deepEqual(
    faults.filter((fault) => fault !== undefined),
    [],
    "the program takes a request that the JSON Schemas refuse",
  );
}
