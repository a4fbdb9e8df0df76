import * as z from "zod";
import { toDotPath } from "zod/v4/core";
import { UserError } from "../host/errors.ts";
import { maskCredentials } from "../host/mask-credentials.ts";
import { ambiguousKey } from "./ambiguous-keys.ts";
import { Descriptor, digestField, optional, Platform, textOrEmpty } from "./descriptor.ts";
import type { DiffId } from "./digest.ts";
import { isIndexType, isManifestType } from "./media-types.ts";

/** Go programs write an empty list or map as `null`. */
const listOf = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((list) => list ?? []);
const stringMap = z
  .record(z.string(), textOrEmpty)
  .nullish()
  .transform((map) => map ?? {});
/** Images of the first Docker versions have a string where a list is expected. */
const stringOrList = z.union([z.string().transform((word) => [word]), z.array(z.string())]).nullish();

/** OCI image-spec, manifest.md; Docker's schema 2 has the same fields. */
export const Manifest = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: optional(z.string()),
  artifactType: optional(z.string()),
  config: Descriptor,
  /** The lowest layer first. */
  layers: listOf(Descriptor),
  annotations: stringMap,
});
export type Manifest = z.infer<typeof Manifest>;

/** OCI image-spec, image-index.md; Docker's manifest list has the same fields. */
export const Index = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: optional(z.string()),
  manifests: listOf(Descriptor),
  annotations: stringMap,
});
export type Index = z.infer<typeof Index>;

/** OCI image-spec, config.md#properties, `config`: how a container of the image is run. */
export const RunConfig = z.looseObject({
  User: textOrEmpty,
  Env: listOf(z.string()),
  Entrypoint: stringOrList,
  Cmd: stringOrList,
  WorkingDir: textOrEmpty,
  Labels: stringMap,
});
export type RunConfig = z.infer<typeof RunConfig>;

/** OCI image-spec, config.md: the document whose digest is the identity of a runnable image. */
export const ImageConfig = z.looseObject({
  // Tools that package files as an image omit its fields, or leave them empty.
  ...Platform.shape,
  created: z.string().nullish(),
  config: RunConfig.nullish().transform((config) => config ?? RunConfig.parse({})),
  rootfs: z.looseObject({
    type: z.literal("layers"),
    /** Digests of the plain layers, the lowest first: one for each layer of the manifest. */
    diff_ids: listOf(digestField<DiffId>()),
  }),
  history: listOf(z.looseObject({ created_by: z.string().nullish(), empty_layer: z.boolean().nullish() })),
});
export type ImageConfig = z.infer<typeof ImageConfig>;

/**
 * Reads a JSON document that came from elsewhere.
 * @param subject names it in the message: `directory /builds: index sha256:…`
 * @throws UserError when it isn't JSON, is JSON that readers understand differently, or doesn't match the schema
 */
export function parseDocument<T extends z.ZodType>(
  schema: T,
  bytes: Uint8Array,
  subject: string,
): z.output<T> {
  const result = schema.safeParse(parseJson(bytes, subject));
  if (result.success) return result.data;
  const [first] = result.error.issues;
  const place = first === undefined || first.path.length === 0 ? "" : `${toDotPath(first.path)}: `;
  throw new UserError(`${subject}: ${place}${first?.message}`);
}

/**
 * Reads a manifest or an index, as the media type says. A document that could be read as either is refused, because
 * two readers could see two different images (CVE-2021-41190).
 * @throws UserError
 */
export function parseManifestOrIndex(
  mediaType: string,
  bytes: Uint8Array,
  subject: string,
): { kind: "manifest"; manifest: Manifest } | { kind: "index"; index: Index } {
  const value = parseDocument(z.looseObject({ mediaType: optional(z.string()) }), bytes, subject);
  if (value.mediaType !== undefined && value.mediaType !== mediaType) {
    throw new UserError(
      `${subject}: says that its media type is ${JSON.stringify(value.mediaType)}, but its descriptor says ${mediaType}; the two must be equal`,
    );
  }
  if ("manifests" in value && ("layers" in value || "config" in value)) {
    throw new UserError(
      `${subject}: has the fields of an index (manifests) and of a manifest (config, layers); it must be one of them`,
    );
  }
  if (isIndexType(mediaType)) return { kind: "index", index: parseDocument(Index, bytes, subject) };
  if (isManifestType(mediaType))
    return { kind: "manifest", manifest: parseDocument(Manifest, bytes, subject) };
  throw new UserError(
    `${subject}: ${JSON.stringify(mediaType)} is neither a manifest nor an index of images`,
  );
}

function parseJson(bytes: Uint8Array, subject: string): unknown {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  const value = jsonValue(text, bytes, subject);
  const key = ambiguousKey(text);
  if (key === undefined) return value;
  throw new UserError(
    `${subject}: has the key ${JSON.stringify(key.slice(0, 100))} twice, perhaps once in upper and once in lower case: programs would read it differently`,
  );
}

function jsonValue(text: string, bytes: Uint8Array, subject: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new UserError(`${subject}: expected JSON, found ${preview(bytes)}`, { cause });
  }
}

function preview(bytes: Uint8Array): string {
  if (bytes.length === 0) return "nothing";
  // A proxy's error page may repeat the credentials that it was sent. They are masked before the text is cut: a cut
  // token might not be recognised, and even half a token is secret.
  const text = maskCredentials(Buffer.from(bytes.subarray(0, 4096)).toString("utf8"));
  return `${JSON.stringify(text.slice(0, 40))}${text.length > 40 ? "…" : ""}`;
}
