import * as z from "zod";
import { orNone } from "../../host/or-none.ts";

/** A step of the build graph (BuildKit, client.Vertex). It is sent again whenever something about it changes. */
const Vertex = z.looseObject({
  digest: z.string(),
  name: z.string().default(""),
  /** Digests of the steps whose results it uses. */
  inputs: z.array(z.string()).nullish(),
  started: z.string().nullish(),
  completed: z.string().nullish(),
  cached: z.boolean().default(false),
  error: z.string().default(""),
});
export type Vertex = z.infer<typeof Vertex>;

const base64 = z.string().transform((text) => Buffer.from(text, "base64").toString("utf8"));
const position = z.looseObject({ line: z.number().default(0) });

/** A finding of BuildKit's build checks (client.VertexWarning). */
const Warning = z.looseObject({
  short: base64.default(""),
  url: z.string().default(""),
  range: z
    .array(z.looseObject({ start: position.optional() }))
    .nullish()
    .transform((ranges) => ranges?.[0]?.start?.line),
});
export type Warning = z.infer<typeof Warning>;

/** Output of a step, in chunks that may end within a line or a character. */
const LogChunk = z.looseObject({ vertex: z.string(), data: z.string().default("") });

/**
 * A part of a step's work (client.VertexStatus), sent again as it progresses: `exporting layers`, `extracting
 * sha256:…`, or a layer being fetched, named only by its digest.
 */
const PartialWork = z.looseObject({
  id: z.string(),
  vertex: z.string(),
  /** Bytes; 0 if the part isn't a transfer. */
  current: z.number().default(0),
  total: z.number().default(0),
  started: z.string().nullish(),
  completed: z.string().nullish(),
});
export type PartialWork = z.infer<typeof PartialWork>;

const Status = z.looseObject({
  vertexes: z.array(Vertex).nullish(),
  statuses: z.array(PartialWork).nullish(),
  logs: z.array(LogChunk).nullish(),
  warnings: z.array(Warning).nullish(),
});

/** One line of `buildctl build --progress=rawjson` (client.SolveStatus). */
export interface ProgressEvent {
  readonly vertexes: readonly Vertex[];
  readonly statuses: readonly PartialWork[];
  readonly logs: readonly { readonly vertex: string; readonly data: Buffer }[];
  readonly warnings: readonly Warning[];
}

/** Parses a line. Returns undefined if it is not a status but a message of buildctl itself. */
export function parseEvent(line: string): ProgressEvent | undefined {
  if (!line.startsWith("{")) return undefined;
  const { success, data } = Status.safeParse(orNone(() => JSON.parse(line)));
  if (!success) return undefined;
  return {
    vertexes: data.vertexes ?? [],
    statuses: data.statuses ?? [],
    logs: (data.logs ?? []).map(({ vertex, data: text }) => ({ vertex, data: Buffer.from(text, "base64") })),
    warnings: data.warnings ?? [],
  };
}
