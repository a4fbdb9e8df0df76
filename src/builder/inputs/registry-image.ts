import type { AuthorNames } from "../../host/author-names.ts";
import { UserError } from "../../host/errors.ts";
import { parseReference } from "../../image/reference.ts";

/**
 * How to use an image of a registry, if the text that was given for a path reads like the name of one. Pure.
 * @returns undefined if it has neither a tag, a digest nor a registry's port, or is right as it is
 */
export function registryImageHint(param: string, text: string, names: AuthorNames): string | undefined {
  const name = text.replace(/^docker-image:\/\//i, "");
  if (!isExactName(name)) return undefined;
  if (param === "image_args")
    return `an image of a registry is not an input: give it under ${names.quoted("build_args")} instead, or name it in FROM`;
  return param === "contexts" && name === text
    ? `an image of a registry is written docker-image://${name}`
    : undefined;
}

function isExactName(text: string): boolean {
  try {
    const { host, tag, digest } = parseReference(text, "");
    return tag !== undefined || digest !== undefined || host.includes(":");
  } catch (thrown) {
    if (thrown instanceof UserError) return false;
    throw thrown;
  }
}
