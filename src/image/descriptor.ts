import * as z from "zod";
import { type Digest, isDigest } from "./digest.ts";

/** OCI image-spec, image-index.md#image-index-property-descriptions, `platform`. Unknown fields are kept. */
export const Platform = z.looseObject({
  os: z.string(),
  architecture: z.string(),
  variant: z.string().optional(),
  "os.version": z.string().optional(),
});
export type Platform = z.infer<typeof Platform>;

/**
 * OCI image-spec, descriptor.md: a media type, a digest and a size in bytes identify content exactly. Documents
 * come from elsewhere, so unknown fields are allowed. `urls` are never fetched.
 */
export const Descriptor = z.looseObject({
  mediaType: z.string(),
  digest: z.custom<Digest>((value) => typeof value === "string" && isDigest(value), {
    error: "expected sha256: and 64 lower-case hex digits",
  }),
  size: z.number().int().nonnegative(),
  annotations: z.record(z.string(), z.string()).optional(),
  platform: Platform.optional(),
  data: z.string().optional(),
});
export type Descriptor = z.infer<typeof Descriptor>;
