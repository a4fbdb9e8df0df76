import { z } from "zod";
import { UserError } from "../host/errors.ts";
import { Descriptor } from "../image/descriptor.ts";
import { type Digest, hexOf, parseDigest } from "../image/digest.ts";
import { parseDocument } from "../image/documents.ts";
import { mediaTypes } from "../image/media-types.ts";
import { isTargetName } from "../image/target-name.ts";
import type { AdditionalTarget, Build, BuiltTarget } from "./build.ts";

/**
 * Annotations of a build index. They begin with Concourse's domain in reverse, as the OCI image-spec asks for
 * (annotations.md#rules), and with the name of this resource type.
 */
const buildAnnotations = {
  /** On the index: the digest that is the build's version in Concourse. */
  version: "org.concourse-ci.oci-build.version",
  /** On the index: `true` or `false`, whether a get unpacks the root filesystem unless told otherwise. */
  unpackRootfs: "org.concourse-ci.oci-build.unpack-rootfs",
  /** On the index: `true` or `false`, whether a get delivers an OCI layout unless told otherwise. */
  outputOci: "org.concourse-ci.oci-build.output-oci",
  /** On each descriptor: the target's name in the Dockerfile; empty for its last stage. */
  target: "org.concourse-ci.oci-build.target",
} as const;

/**
 * The tag by which a registry has the build index of a version. Not `sha256-<hex>`: that form belongs to the referrers
 * fallback (OCI distribution-spec, referrers tag schema).
 */
export function buildTag(version: Digest): string {
  return `build-${hexOf(version)}`;
}

const booleanText = z.enum(["true", "false"]).transform((text) => text === "true");

const BuildIndex = z.looseObject({
  schemaVersion: z.literal(2),
  mediaType: z.literal(mediaTypes.ociIndex),
  manifests: z.array(
    z.looseObject({
      ...Descriptor.shape,
      annotations: z.looseObject({ [buildAnnotations.target]: z.string() }),
    }),
  ),
  annotations: z.looseObject({
    [buildAnnotations.version]: z.string(),
    [buildAnnotations.unpackRootfs]: booleanText,
    [buildAnnotations.outputOci]: booleanText,
  }),
});

/**
 * The build index: an OCI image index (image-index.md) with one descriptor for each target, the main one first,
 * annotated with {@link buildAnnotations}. The same build always gives the same bytes. Of a descriptor, media type,
 * digest, size, platform and annotations are kept.
 */
export function encodeBuildIndex({ version, targets, delivery }: Build): Uint8Array {
  const index = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    manifests: targets.map(({ name, descriptor: { mediaType, digest, size, platform, annotations } }) => ({
      mediaType,
      digest,
      size,
      ...(platform && { platform }),
      annotations: sorted({ ...annotations, [buildAnnotations.target]: name }),
    })),
    annotations: sorted({
      [buildAnnotations.version]: version,
      [buildAnnotations.unpackRootfs]: String(delivery.unpackRootfs),
      [buildAnnotations.outputOci]: String(delivery.outputOci),
    }),
  };
  return Buffer.from(JSON.stringify(index));
}

/**
 * Reads what {@link encodeBuildIndex} wrote. The version is what the index claims: check it with `verifyVersion`.
 * @param where names the store in messages
 * Nothing vouches for the targets' names, and each names a folder: what can't name a stage is refused.
 * @throws UserError when it isn't a build index
 */
export function decodeBuildIndex(bytes: Uint8Array, where: string): Build {
  const subject = `${where}: build index`;
  const { manifests, annotations } = parseDocument(BuildIndex, bytes, subject);
  const [main, ...others] = manifests.map(
    ({ annotations: { [buildAnnotations.target]: name, ...rest }, ...fields }) =>
      toTarget(name, { ...fields, ...(Object.keys(rest).length > 0 && { annotations: rest }) } as Descriptor),
  );
  if (main === undefined) throw new UserError(`${subject}: holds no target; expected the main target first`);
  return {
    version: parseDigest(annotations[buildAnnotations.version], `${subject}: version`),
    targets: [main, ...others.map((target) => additionalTarget(target, subject))],
    delivery: {
      unpackRootfs: annotations[buildAnnotations.unpackRootfs],
      outputOci: annotations[buildAnnotations.outputOci],
    },
  };
}

function toTarget(name: string, descriptor: Descriptor): BuiltTarget {
  return { name, descriptor };
}

function additionalTarget({ name, descriptor }: BuiltTarget, subject: string): AdditionalTarget {
  if (isTargetName(name)) return { name, descriptor };
  throw new UserError(
    `${subject}: ${JSON.stringify(name.slice(0, 100))} can't be the name of a target. It was damaged or replaced; run the put again`,
  );
}

function sorted(annotations: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
