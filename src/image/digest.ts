import { createHash } from "node:crypto";
import { UserError } from "../host/errors.ts";

declare const brand: unique symbol;

/**
 * `sha256:` and 64 lower-case hex digits (OCI image-spec, descriptor.md#digests). No other algorithm is supported.
 */
export type Digest = string & { readonly [brand]: "digest" };
/**
 * Digest of an image config: the identity of a runnable image. It is the same for every compression of its layers.
 */
export type ConfigDigest = Digest & { readonly kind: "config" };
/** Digest of the uncompressed bytes of a layer (OCI image-spec, config.md#layer-diffid). */
export type DiffId = Digest & { readonly kind: "diff ID" };

const form = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return form.test(text);
}

/**
 * Reads a digest from outside. It must have the exact form before anything (a path, a request) is made of it, so
 * `sha256:../../x` is refused.
 * @throws UserError naming `subject`
 */
export function parseDigest(text: string, subject: string): Digest {
  if (isDigest(text)) return text;
  throw new UserError(
    `${subject}: ${JSON.stringify(text.slice(0, 100))} is not a digest; expected sha256: and 64 lower-case hex digits`,
  );
}

/** The digest of these bytes. */
export function digestOf(bytes: Uint8Array): Digest {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
}

/** The 64 hex digits, as the names of blob files and builds have them. */
export function hexOf(digest: Digest): string {
  return digest.slice("sha256:".length);
}
