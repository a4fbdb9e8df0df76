import { UserError } from "../host/errors.ts";
import type { Digest } from "./digest.ts";

/** What is wrong with a layer: the words after its digest. */
export type Damage = `can't be decompressed: ${string}` | `holds an archive of digest ${string}`;

export function undecompressable(reason: string): Damage {
  return `can't be decompressed: ${reason}`;
}

export function otherArchive(found: string, expected: string): Damage {
  return `holds an archive of digest ${found}, the image's config says ${expected}`;
}

/** What is said if a layer of a base is damaged, and a build has looked into it. */
export function damagedBase(layer: string, damage: Damage): string {
  return `layer ${layer} of a base image ${damage}: the base is damaged; rebuild it, or name another in FROM`;
}

/**
 * The error of a layer that isn't what its image's config says. Either the image was damaged after it was built, or a
 * build has only copied the layer of a damaged base.
 */
export function damagedLayer(digest: Digest, damage: Damage): UserError {
  return new UserError(
    `layer ${digest} ${damage}. The image was damaged, or built from a damaged base: build the image again; if that doesn't help, rebuild its base or name another in FROM`,
  );
}
