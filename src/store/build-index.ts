import * as z from "zod";
import { UserError } from "../host/errors.ts";
import { orNone } from "../host/or-none.ts";
import { type BuildVersion, formatBuildVersion, parseVersionFields } from "../image/build-version.ts";
import { Descriptor } from "../image/descriptor.ts";
import { isDigest } from "../image/digest.ts";
import { parseDocument } from "../image/documents.ts";
import { mediaTypes } from "../image/media-types.ts";
import { isTargetName } from "../image/target-name.ts";
import type { AdditionalTarget, Build, BuiltTarget, MetadataField } from "./build.ts";

/**
 * Annotations of a build index. They begin with Concourse's domain in reverse, as the OCI image-spec requires
 * (annotations.md#rules), followed by the name of this resource type.
 */
export const buildAnnotations = {
  /** On the index: the version that the put returned, as JSON. */
  version: "org.concourse-ci.oci-build.version",
  /** On the index: the id of the put. It makes the bytes of each put's index unique. */
  put: "org.concourse-ci.oci-build.put",
  /** On the index: when the put stored it (RFC 3339). */
  stored: "org.concourse-ci.oci-build.stored",
  /** On the index: the variant of the put's tags, if any. */
  variant: "org.concourse-ci.oci-build.variant",
  /** On the index: the metadata that a get shows again, as a JSON list of {name, value}. */
  metadata: "org.concourse-ci.oci-build.metadata",
  /** On the index: `layersDigest` of the build, if the put has proven the layers. */
  layers: "org.concourse-ci.oci-build.proven-layers",
  /** On the index: the build's record, as the text of `build.json`. */
  record: "org.concourse-ci.oci-build.record",
  /** On each descriptor: the target's name in the Dockerfile. Empty for its last stage. */
  target: "org.concourse-ci.oci-build.target",
  /** On an additional target's descriptor: the tags that the put pointed at it, separated by spaces. */
  tags: "org.concourse-ci.oci-build.tags",
} as const;

const RecordedMetadata = z.array(z.object({ name: z.string(), value: z.string() }));

const BuildIndex = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(mediaTypes.ociIndex),
  manifests: z.array(
    z.looseObject({
      ...Descriptor.shape,
      annotations: z.looseObject({
        [buildAnnotations.target]: z.string(),
        [buildAnnotations.tags]: z.string().optional(),
      }),
    }),
  ),
  annotations: z.looseObject({
    [buildAnnotations.version]: z.string(),
    [buildAnnotations.put]: z.string(),
    [buildAnnotations.stored]: z.iso.datetime(),
    [buildAnnotations.variant]: z.string().optional(),
    [buildAnnotations.metadata]: z.string(),
    [buildAnnotations.layers]: z.string().optional(),
    [buildAnnotations.record]: z.string().optional(),
  }),
});

/**
 * Writes the build index: an OCI image index (image-index.md) with one descriptor for each target, the main target
 * first, annotated with {@link buildAnnotations}. A descriptor keeps its media type, digest, size, platform and
 * annotations.
 */
export function encodeBuildIndex({ version, targets: [main, ...others], put }: Build): Uint8Array {
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: [encodeTarget(main, []), ...others.map((target) => encodeTarget(target, target.tags))],
    annotations: sorted({
      [buildAnnotations.version]: JSON.stringify(formatBuildVersion(version)),
      [buildAnnotations.put]: put.id,
      [buildAnnotations.stored]: new Date(put.at).toISOString(),
      ...(put.variant !== undefined && { [buildAnnotations.variant]: put.variant }),
      [buildAnnotations.metadata]: JSON.stringify(put.metadata),
      ...(put.layers !== undefined && { [buildAnnotations.layers]: put.layers }),
      ...(put.record !== undefined && { [buildAnnotations.record]: put.record }),
    }),
  };
  return Buffer.from(JSON.stringify(index));
}

function encodeTarget({ name, descriptor }: BuiltTarget, tags: readonly string[]): Descriptor {
  const { mediaType, digest, size, platform, annotations } = descriptor;
  return {
    mediaType,
    digest,
    size,
    ...(platform && { platform }),
    annotations: sorted({
      ...annotations,
      [buildAnnotations.target]: name,
      ...(tags.length > 0 && { [buildAnnotations.tags]: tags.join(" ") }),
    }),
  };
}

/**
 * Reads what {@link encodeBuildIndex} wrote. Nothing in it is verified: a get verifies the targets against the
 * version that Concourse passed.
 * @param where names the store in messages
 * @throws UserError if it isn't a build index
 */
export function decodeBuildIndex(bytes: Uint8Array, where: string): Build {
  const subject = `${where}: build index`;
  const { manifests, annotations } = parseDocument(BuildIndex, bytes, subject);
  const [main, ...others] = manifests.map(readTarget);
  if (main === undefined) throw new UserError(`${subject}: holds no target; expected the main target first`);
  const layers = annotations[buildAnnotations.layers] ?? "";
  return {
    version: recordedVersion(annotations[buildAnnotations.version], subject),
    targets: [
      { name: main.name, descriptor: main.descriptor },
      ...others.map((target) => additionalTarget(target, subject)),
    ],
    put: {
      id: annotations[buildAnnotations.put],
      at: Date.parse(annotations[buildAnnotations.stored]),
      variant: annotations[buildAnnotations.variant],
      metadata: readMetadata(annotations[buildAnnotations.metadata], subject),
      layers: isDigest(layers) ? layers : undefined,
      record: annotations[buildAnnotations.record],
    },
  };
}

type IndexEntry = z.infer<typeof BuildIndex>["manifests"][number];

function readTarget({ annotations, ...fields }: IndexEntry) {
  const { [buildAnnotations.target]: name, [buildAnnotations.tags]: tags, ...rest } = annotations;
  const descriptor = { ...fields, ...(Object.keys(rest).length > 0 && { annotations: rest }) } as Descriptor;
  return { name, descriptor, tags: tags?.split(" ") ?? [] };
}

function additionalTarget(
  target: BuiltTarget & Pick<AdditionalTarget, "tags">,
  subject: string,
): AdditionalTarget {
  const { name } = target;
  if (isTargetName(name)) return { ...target, name };
  throw new UserError(
    `${subject}: ${JSON.stringify(name.slice(0, 100))} can't be the name of a target. It was damaged or replaced; run the put again`,
  );
}

function recordedVersion(text: string, subject: string): BuildVersion {
  const fields: unknown = orNone(() => JSON.parse(text));
  const version =
    typeof fields === "object" && fields !== null
      ? parseVersionFields(fields as Readonly<Record<string, unknown>>)
      : undefined;
  if (version !== undefined) return version;
  throw new UserError(
    `${subject}: ${JSON.stringify(text.slice(0, 100))} is not a version. It was damaged, or stored by another release of this resource; run the put again`,
  );
}

function readMetadata(text: string, subject: string): readonly MetadataField[] {
  const metadata = RecordedMetadata.safeParse(orNone(() => JSON.parse(text)));
  if (metadata.success) return metadata.data;
  throw new UserError(`${subject}: its metadata is not a JSON list of names and values; run the put again`);
}

function sorted(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
