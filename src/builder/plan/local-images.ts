import type { Inputs } from "../inputs/inputs.ts";

/** An image layout on this disk, under the context name by which `FROM` finds it. */
export interface LocalImage {
  readonly id: string;
  readonly context: string;
  readonly buildArg: string | undefined;
  readonly layout: string;
  readonly digest: string;
}

/** The images on this disk that a build may use, image args first. Pure. */
export function localImages(inputs: Inputs): readonly LocalImage[] {
  const aliases = imageArgAliases(inputs.imageArgs.map(({ name }) => name));
  const named = inputs.contexts.filter((context) => context.kind === "layout");
  return [
    ...inputs.imageArgs.map((image) => ({
      ...image,
      buildArg: image.name,
      context: aliases.get(image.name) ?? image.name,
    })),
    ...named.map((image) => ({ ...image, buildArg: undefined, context: image.name })),
  ].map(({ buildArg, context, layout, digest }, index) => ({
    id: `image-${index}`,
    buildArg,
    context,
    layout,
    digest,
  }));
}

/**
 * Maps the name of each image arg to the image reference that the build arg gets: `image-arg/` and the arg's name
 * as a path component of a reference (lower case, distribution's grammar for repository names). If two names become
 * the same component, a number makes them unique.
 */
function imageArgAliases(names: readonly string[]): ReadonlyMap<string, string> {
  const taken = new Map<string, string>();
  for (const name of names) {
    const folded =
      name
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, "_")
        .replaceAll(/^_+|_+$/g, "") || "image";
    let alias = `image-arg/${folded}`;
    for (let count = 2; [...taken.values()].includes(alias); count++) alias = `image-arg/${folded}_${count}`;
    taken.set(name, alias);
  }
  return taken;
}

/** BuildKit's name for the folder of a named context (`--local`). */
export function contextFolderName(contextName: string): string {
  return `context-${contextName}`;
}
