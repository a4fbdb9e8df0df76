import { z } from "zod";
import { getFields } from "../../src/request/get-params.ts";
import { putParams } from "../../src/request/put-params.ts";
import { sourceFields } from "../../src/request/source.ts";
import type { Syntax } from "../../src/request/task-syntax.ts";

type JsonSchema = Record<string, unknown>;

/** What a param of the oci-build task may be: its text, and the YAML scalars whose text it can be. */
function scalarOf({ pattern }: Syntax, more: readonly string[] = []): JsonSchema {
  if (pattern === undefined) return { type: ["string", "number", "boolean", ...more] };
  const fits = (...given: readonly unknown[]) => given.every((value) => pattern.test(String(value)));
  const numbers = [
    { fits: fits(-1, 0.5, 1), schema: { type: "number" } },
    { fits: fits(0.5, 1), schema: { type: "number", minimum: 0 } },
    { fits: fits(0, 1, 2), schema: { type: "integer", minimum: 0 } },
    { fits: fits(0, 1), schema: { enum: [0, 1] } },
  ].find((kind) => kind.fits);
  return {
    anyOf: [
      { type: "string", pattern: pattern.source },
      ...(fits(true, false) ? [{ type: "boolean" }] : []),
      ...(numbers === undefined ? [] : [numbers.schema]),
      ...more.map((type) => ({ type })),
    ],
  };
}

/** The published JSON Schemas, by the name of their file: what a pipeline may write. */
export function jsonSchemas(): Readonly<Record<string, JsonSchema>> {
  return {
    "source.json": {
      ...published("source", fieldsSchema(sourceFields)),
      oneOf: [{ required: ["repository"] }, { required: ["directory"] }],
    },
    "put.json": putSchema(),
    "get.json": published("get params", fieldsSchema(getFields)),
  };
}

function published(title: string, schema: JsonSchema): JsonSchema {
  const { $schema, ...rest } = schema;
  return { $schema, title: `oci-build-resource: ${title}`, ...rest };
}

function fieldsSchema(fields: Readonly<Record<string, z.ZodType>>): JsonSchema {
  return z.toJSONSchema(z.strictObject(fields), { io: "input", unrepresentable: "any" });
}

/** A put's params in both forms; that both forms of one exclude each other is left to the program to say. */
function putSchema(): JsonSchema {
  const rows = Object.entries(putParams);
  const snake = fieldsSchema(
    Object.fromEntries(rows.map(([name, { schema, doc }]) => [name, schema.describe(doc)])),
  );
  const forms = rows.flatMap(([name, { upper }]) => upper.map((form) => ({ name, form })));
  const wholes = forms.flatMap(({ name, form }) =>
    form.kind === "whole"
      ? [[form.name, { ...scalarOf(form.syntax, ["null"]), description: `As \`${name}\`.` }]]
      : [],
  );
  const prefixes = forms.flatMap(({ name, form }) =>
    form.kind === "prefix"
      ? [[`^${form.prefix}${form.names}`, { ...scalarOf(form.syntax), description: `As \`${name}\`.` }]]
      : [],
  );
  return {
    ...published("put params", snake),
    properties: { ...(snake["properties"] as JsonSchema), ...Object.fromEntries(wholes) },
    patternProperties: Object.fromEntries(prefixes),
  };
}
