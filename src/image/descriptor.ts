import * as z from "zod";
import { type Digest, isDigest } from "./digest.ts";

/** A field that may be left out. Go's readers, which all tools of this field are, take `null` for the same. */
export const optional = <T extends z.ZodType>(type: T) =>
  type
    .nullish()
    .transform((value) => value ?? undefined)
    .optional();

/** Text that is empty if it is left out, or `null`. */
export const textOrEmpty = z
  .string()
  .nullish()
  .transform((value) => value ?? "");

/** OCI image-spec, image-index.md#image-index-property-descriptions, `platform`. Unknown fields are kept. */
export const Platform = z.looseObject({
  os: textOrEmpty,
  architecture: textOrEmpty,
  variant: optional(z.string()),
  "os.version": optional(z.string()),
});
export type Platform = z.infer<typeof Platform>;

/** A digest in a document. */
export const digestField = <T extends Digest>() =>
  z.custom<T>((value) => typeof value === "string" && isDigest(value), {
    error: ({ input }) => `expected sha256: and 64 lower-case hex digits${otherDigest(input)}`,
  });

function otherDigest(found: unknown): string {
  if (typeof found !== "string") return "";
  const shown = `, found ${JSON.stringify(found.slice(0, 100))}`;
  // It is the other algorithm of the OCI's specification (descriptor.md#registered-algorithms).
  return found.startsWith("sha512:") ? `${shown}: copy the image with sha256 digests` : shown;
}

/**
 * OCI image-spec, descriptor.md: a media type, a digest and a size in bytes identify content exactly. Documents
 * come from elsewhere, so unknown fields are allowed. `urls` are never fetched.
 */
export const Descriptor = z.looseObject({
  mediaType: z.string(),
  digest: digestField<Digest>(),
  size: z.number().int().nonnegative(),
  annotations: optional(z.record(z.string(), textOrEmpty)),
  platform: optional(Platform),
  data: optional(z.string()),
});
export type Descriptor = z.infer<typeof Descriptor>;
