import * as z from "zod";
import { BuildRecord } from "../../src/image/build-record.ts";
import { getFields } from "../../src/request/get-params.ts";
import { putParams } from "../../src/request/put-params.ts";
import { sourceFields } from "../../src/request/source.ts";
import { taskVariables } from "../../src/request/task-params.ts";
import type { Syntax } from "../../src/request/task-syntax.ts";
import { pipelineSchema } from "./pipeline-schema.ts";

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

/** Whether the param may have an empty text, for which a pipeline may also say nothing after the colon. */
function mayBeEmpty({ pattern }: Syntax): boolean {
  return pattern === undefined || pattern.test("");
}

/** The form of a whole param of the oci-build task: its text, and where that is JSON, the map or list itself. */
function wholeOf({ structure, ...syntax }: Syntax, snake: JsonSchema): JsonSchema {
  const text = scalarOf(syntax, ["null"]);
  if (structure === undefined) return text;
  const type = structure === "map" ? "object" : "array";
  const forms = [snake, ...((snake["anyOf"] as JsonSchema[] | undefined) ?? [])];
  const found = forms.find((form) => form["type"] === type);
  if (found === undefined) throw new Error(`no ${type} in ${JSON.stringify(snake)}`);
  const { description: _description, default: _default, ...whole } = found;
  const json = { type: "string", pattern: structure === "map" ? "^\\s*\\{" : "^\\s*\\[" };
  return { anyOf: [...((text["anyOf"] as JsonSchema[] | undefined) ?? [text]), json, whole] };
}

/** The published JSON Schemas, by the name of their file: what a pipeline may write, and what build.json holds. */
export function jsonSchemas(): Readonly<Record<string, JsonSchema>> {
  const parts = {
    source: {
      ...fieldsSchema(sourceFields),
      oneOf: [{ required: ["repository"] }, { required: ["directory"] }],
    },
    put: putSchema(),
    get: fieldsSchema(getFields),
    task: taskSchema(),
  };
  return {
    "source.json": published("source", parts.source),
    "put.json": published("put params", parts.put),
    "get.json": published("get params", parts.get),
    "pipeline.json": published("a Concourse pipeline", pipelineSchema(parts)),
    "build.json": published("the record of a build, build.json", schemaOf(BuildRecord, "output")),
  };
}

function published(title: string, schema: JsonSchema): JsonSchema {
  return { $schema: dialect, title: `oci-build-resource: ${title}`, ...schema };
}

const dialect = "https://json-schema.org/draft/2020-12/schema";

function fieldsSchema(fields: Readonly<Record<string, z.ZodType>>): JsonSchema {
  return schemaOf(z.strictObject(fields), "input");
}

function schemaOf(type: z.ZodType, io: "input" | "output"): JsonSchema {
  const { $schema, ...schema } = z.toJSONSchema(type, { io, unrepresentable: "any" });
  if ($schema !== dialect) throw new Error(`zod writes ${$schema}`);
  return schema;
}

/** A put's params in both forms; that both forms of one exclude each other is left to the program to say. */
function putSchema(): JsonSchema {
  const snake = fieldsSchema(mapRows(({ schema, doc }) => schema.describe(doc)));
  const { wholes, prefixes } = upperForms();
  return {
    ...snake,
    properties: { ...(snake["properties"] as JsonSchema), ...wholes },
    patternProperties: prefixes,
  };
}

/** A task's params: everything else in them is a variable of its environment. */
function taskSchema(): JsonSchema {
  const { wholes, prefixes } = upperForms();
  // An empty variable counts as not given.
  const variables = Object.entries(
    fieldsSchema(taskVariables)["properties"] as Record<string, JsonSchema>,
  ).map(([name, schema]) => [name, { ...schema, enum: [...(schema["enum"] as string[]), "", null] }]);
  return {
    type: "object",
    properties: { ...wholes, ...Object.fromEntries(variables) },
    patternProperties: prefixes,
  };
}

function mapRows(
  to: (row: (typeof putParams)[keyof typeof putParams]) => z.ZodType,
): Record<string, z.ZodType> {
  return Object.fromEntries(Object.entries(putParams).map(([name, row]) => [name, to(row)]));
}

/** The oci-build task's forms of the params: by their names, and by a pattern for those that are prefixes. */
function upperForms(): { readonly wholes: JsonSchema; readonly prefixes: JsonSchema } {
  const forms = Object.entries(putParams).flatMap(([name, { upper }]) =>
    upper.map((form) => ({ name, form })),
  );
  const snake = fieldsSchema(mapRows(({ schema }) => schema))["properties"] as Record<string, JsonSchema>;
  const wholes = forms.flatMap(({ name, form }) =>
    form.kind === "whole"
      ? [[form.name, { ...wholeOf(form.syntax, snake[name] ?? {}), description: `As \`${name}\`.` }]]
      : [],
  );
  const prefixes = forms.flatMap(({ name, form }) =>
    form.kind === "prefix"
      ? [
          [
            `^${form.prefix}${form.names}`,
            {
              ...scalarOf(form.syntax, mayBeEmpty(form.syntax) ? ["null"] : []),
              description: `As \`${name}\`.`,
            },
          ],
        ]
      : [],
  );
  return { wholes: Object.fromEntries(wholes), prefixes: Object.fromEntries(prefixes) };
}
