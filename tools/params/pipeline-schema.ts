type JsonSchema = Readonly<Record<string, unknown>>;

/** The schemas of what a pipeline says to this resource. */
export interface PartSchemas {
  readonly source: JsonSchema;
  readonly put: JsonSchema;
  readonly get: JsonSchema;
  /** A task's params: other names are variables of its environment, which are not ours to check. */
  readonly task: JsonSchema;
}

/** Names of our resource types. A JSON Schema can't look up in one list what another one says, so it goes by names. */
const typeName = "^oci-build(-.+)?$";

/** The repository of our image, on whatever registry it is. */
const ownRepository = "(^|/)oci-build-resource([:@].*)?$";

/** A resource with such a name is taken to be of our type, even if the params of its put don't tell. */
const imageName = "^(.*[-_.])?image$";

/** `((var))` in Concourse stands for any value, or for a part of a text. */
const variable = "\\(\\([^()]+\\)\\)";

/** Params that only a put of ours has. */
const onlyOurs = {
  names: ["CONTEXT", "DOCKERFILE", "IMAGE_PLATFORM", "UNPACK_ROOTFS", "additional_targets"].concat([
    "dockerfile_inline",
    "image_args",
    "output_oci",
    "unpack_rootfs",
  ]),
  prefixes: "^(BUILD_ARG|IMAGE_ARG|BUILDKIT|LABEL)_.",
};

/** Params of ours that resource types of other kinds may have too. */
const alsoOthers = ["build_args", "build_args_file", "dockerfile", "platforms", "target"];

/** Params of puts of docker-image, registry-image, S3, and of those that report the status of a commit. */
const foreign = ["build", "file", "image", "import_file", "load", "load_file", "load_repository"].concat([
  "pull_repository",
  "state",
  "status",
]);

const hooks = ["on_success", "on_failure", "on_abort", "on_error", "ensure"];

/** A whole pipeline: what is ours is checked, everything else is left alone. */
export function pipelineSchema(parts: PartSchemas): JsonSchema {
  const isOurs = { anyOf: [declares("resource_types", ownType), declares("resources", ownResource)] };
  const resources = (source: string) => ({
    properties: { resources: listOf(when(ownResource, { properties: { source: ref(source) } })) },
  });
  const types = listOf(when(ownType, { properties: { defaults: ref("defaults") } }));
  const jobs = listOf(planOf("step"));
  return {
    type: "object",
    ...when(
      isOurs,
      {
        properties: { resource_types: types, jobs },
        // The defaults may have what the source lacks.
        ...when(
          declares("resource_types", { allOf: [ownType, { required: ["defaults"] }] }),
          resources("defaults"),
          resources("source"),
        ),
      },
      // Without a resource of ours only tasks can be.
      { properties: { jobs: listOf(planOf("taskStep")) } },
    ),
    $defs: {
      variable: { type: "string", pattern: variable },
      step: stepSchema("step", [ownTask, ownPut, ownGet]),
      taskStep: stepSchema("taskStep", [ownTask]),
      ...Object.fromEntries(Object.entries(parts).map(([name, schema]) => [name, orVariable(schema)])),
      source: orVariable({ allOf: [ref("defaults")], oneOf: parts.source["oneOf"] }),
      defaults: orVariable(without(parts.source, "oneOf")),
    },
  };
}

/** @param name the definition for steps inside of steps */
function stepSchema(name: string, kinds: readonly JsonSchema[]): JsonSchema {
  const steps = listOf(ref(name));
  return {
    allOf: kinds,
    properties: {
      do: steps,
      aggregate: steps,
      in_parallel: { ...steps, properties: { steps } },
      try: ref(name),
      ...Object.fromEntries(hooks.map((hook) => [hook, ref(name)])),
    },
  };
}

function planOf(step: string): JsonSchema {
  const steps = Object.fromEntries(hooks.map((hook) => [hook, ref(step)]));
  return { properties: { plan: listOf(ref(step)), ...steps } };
}

const ownImage = objectWith({ repository: text(ownRepository) });
const ownType = { anyOf: [objectWith({ name: text(typeName) }), objectWith({ source: ownImage })] };
const ownResource = objectWith({ type: text(typeName) });

/** A put with params that only we have; or with such that others have too, or for an image, if none is foreign. */
const ownPut = when(
  {
    ...objectWith({ put: {} }),
    anyOf: [
      objectWith({
        params: {
          anyOf: [
            ...hasAny(onlyOurs.names).anyOf,
            { type: "object", not: { propertyNames: { not: text(onlyOurs.prefixes) } } },
            { required: ["context"], not: hasAny(["state", "status", "path"]) },
          ],
        },
      }),
      {
        anyOf: [
          objectWith({ params: hasAny(alsoOthers) }),
          objectWith({ resource: text(imageName) }),
          { ...objectWith({ put: text(imageName) }), not: { required: ["resource"] } },
        ],
        properties: { params: { not: hasAny(foreign) } },
      },
    ],
  },
  { properties: { params: ref("put"), get_params: ref("get") } },
);

const ownGet = when(objectWith({ get: {}, params: hasAny(["image_tar", "output_oci", "unpack_rootfs"]) }), {
  properties: { params: ref("get") },
});

const ownTask = when(
  objectWith({ task: {}, config: objectWith({ image_resource: objectWith({ source: ownImage }) }) }),
  { properties: { config: { properties: { params: ref("task") } } } },
);

/** In editors the faults of a condition stay unseen, unlike those of a choice of schemas. */
function when(condition: JsonSchema, fits: JsonSchema, otherwise?: JsonSchema): JsonSchema {
  const outcomes = [["if", condition], ["then", fits], ...(otherwise ? [["else", otherwise]] : [])];
  return Object.fromEntries(outcomes) as JsonSchema;
}

function without(schema: JsonSchema, keyword: string): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => name !== keyword));
}

function ref(name: string): JsonSchema {
  return { $ref: `#/$defs/${name}` };
}

function listOf(items: JsonSchema): JsonSchema {
  return { items };
}

function text(pattern: string): JsonSchema {
  return { type: "string", pattern };
}

function objectWith(properties: Readonly<Record<string, JsonSchema>>): JsonSchema {
  return { type: "object", properties, required: Object.keys(properties) };
}

function declares(list: string, item: JsonSchema): JsonSchema {
  return objectWith({ [list]: { type: "array", contains: item } });
}

function hasAny(names: readonly string[]) {
  return { type: "object", anyOf: names.map((name) => ({ required: [name] })) };
}

/** A schema that also takes a variable of Concourse's, for the whole value and for everything in it. */
function orVariable(schema: JsonSchema): JsonSchema {
  const { title, description, default: standard, ...rest } = schema;
  const shown = Object.entries({ title, description, default: standard }).filter(
    ([, value]) => value !== undefined,
  );
  if (Object.keys(rest).length === 0) return schema;
  // Editors complete the values of a choice, and tell the faults of a condition in fewer words.
  const isChoice = "enum" in rest || rest["type"] === "boolean";
  const either = { anyOf: [rest, ref("variable")] };
  return {
    ...Object.fromEntries(shown),
    ...(isChoice ? either : when({ not: ref("variable") }, withVariables(rest))),
  };
}

/** A schema whose parts may be variables. */
function withVariables(schema: JsonSchema): JsonSchema {
  const parts = Object.entries(schema).map(([keyword, value]) => {
    switch (keyword) {
      case "items":
      case "additionalProperties":
        return [keyword, typeof value === "object" ? orVariable(value as JsonSchema) : value];
      case "properties":
      case "patternProperties":
        return [keyword, mapValues(value as Readonly<Record<string, JsonSchema>>, orVariable)];
      case "propertyNames":
        return [keyword, { anyOf: [value, ref("variable")] }];
      case "anyOf":
      case "oneOf":
        return [keyword, (value as JsonSchema[]).map(withVariables)];
      default:
        return [keyword, value];
    }
  });
  const result = Object.fromEntries(parts) as JsonSchema;
  if (schema["additionalProperties"] !== false) return result;
  return { ...result, patternProperties: { ...(result["patternProperties"] as JsonSchema), [variable]: {} } };
}

function mapValues<T, U>(given: Readonly<Record<string, T>>, to: (value: T) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(given).map(([name, value]) => [name, to(value)]));
}
