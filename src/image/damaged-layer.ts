import { UserError } from "../host/errors.ts";
import type { Digest } from "./digest.ts";

/**
 * The error of a layer that isn't what its image's config says. Either the image was damaged after it was built, or a
 * build has only copied the layer of a damaged base.
 * @param found what the layer does or holds: the sentence after its digest
 */
export function damagedLayer(digest: Digest, found: string): UserError {
  return new UserError(
    `layer ${digest} ${found}. The image was damaged, or built from a damaged base: build the image again; if that doesn't help, rebuild its base or name another in FROM`,
  );
}
