import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import type { BuildRecord } from "../../../src/image/build-record.ts";
import { checkout } from "./test-step.ts";

const ajv = addFormats.default(new Ajv2020({ allowUnionTypes: true, strictTypes: false }));

const validators = new Map<string, ValidateFunction>();

/** Why a value isn't what a published JSON Schema says; undefined when it is. A schema is compiled when it is used. */
function faultIn(
  schema: "source" | "put" | "get" | "pipeline" | "build",
  value: unknown,
): string | undefined {
  let validate = validators.get(schema);
  if (validate === undefined) {
    const published = readFileSync(join(checkout, `schemas/${schema}.json`), "utf8");
    validate = ajv.compile(JSON.parse(published) as object);
    validators.set(schema, validate);
  }
  return validate(value) ? undefined : ajv.errorsText(validate.errors);
}

/** What the published JSON Schemas describe. */
export type Part = "source" | "put" | "get";

/** Why a value isn't what its JSON Schema says; undefined when it is. */
export function schemaFault(part: Part, value: unknown): string | undefined {
  const fault = faultIn(part, value);
  return fault === undefined ? undefined : `${part}: ${fault}`;
}

/** Why a pipeline isn't what its JSON Schema says; undefined when it is. */
export function pipelineFault(pipeline: unknown): string | undefined {
  return faultIn("pipeline", pipeline);
}

/** Asserts that a value is the record of a build, as the published JSON Schema describes it. */
export function assertRecord(value: unknown): asserts value is BuildRecord {
  const fault = faultIn("build", value);
  assert.ok(fault === undefined, fault);
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
