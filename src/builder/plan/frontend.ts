import type { Inputs } from "../inputs/inputs.ts";
import { parserDirective } from "./parser-directives.ts";

/** Docker's Dockerfile frontend before 1.5, the first version that reads `oci-layout://` (its release notes). */
const oldFrontend =
  /(?:^|\/)docker\/dockerfile(?:-upstream)?:1\.[0-4](?:\.\d+)?(?:-[a-z]+)?(?:@sha256:[0-9a-f]{64})?$/;

/**
 * The frontend that the Dockerfile asks for, if it is too old to read images of the inputs. BuildKit's own
 * frontend, which can read everything that the old one can, is then used instead. Undefined if the Dockerfile's
 * frontend is used. Pure.
 */
export function replacedFrontend({
  buildArgs,
  contexts,
  dockerfile,
  imageArgs,
}: Pick<Inputs, "buildArgs" | "contexts" | "dockerfile" | "imageArgs">): string | undefined {
  if (imageArgs.length === 0 && contexts.every(({ kind }) => kind !== "layout")) return undefined;
  const given = buildArgs["BUILDKIT_SYNTAX"] ?? parserDirective(dockerfile?.text ?? "", "syntax");
  const [name = ""] = given.trim().split(/\s+/);
  return oldFrontend.test(name) ? name : undefined;
}
