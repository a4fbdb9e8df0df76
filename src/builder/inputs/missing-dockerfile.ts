import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import type { AuthorNames } from "../../host/author-names.ts";
import { UserError } from "../../host/errors.ts";
import type { InputFolder } from "./input-folder.ts";

export interface MissingDockerfile {
  readonly folder: InputFolder;
  /** As the params name them. */
  readonly context: string;
  readonly dockerfile: string | undefined;
  /** The context's folder. */
  readonly contextFolder: string;
  readonly names: AuthorNames;
}

/**
 * The error for a Dockerfile that isn't where it was looked for, with advice from the files that are there. Returns
 * undefined if there is no such advice.
 */
export async function adviseOnDockerfile(missing: MissingDockerfile): Promise<UserError | undefined> {
  const { folder, context, dockerfile, contextFolder, names: author } = missing;
  const dockerfileParam = author.param("dockerfile");
  if (dockerfile !== undefined) {
    // The usual mistake: a path relative to the context, as other tools expect it.
    const inContext = join(contextFolder, dockerfile);
    if (dockerfile.startsWith("/") || !(await isThere(inContext))) return undefined;
    const path = join(context, dockerfile);
    return new UserError(
      `${dockerfileParam}: there is no file ${JSON.stringify(dockerfile)} in the ${folder.kind}'s folder, but ${path} is there: write ${dockerfileParam}: ${path}, a path relative to the ${folder.kind}'s folder, not to the context`,
    );
  }
  const names = (await readdir(contextFolder)).toSorted();
  const isWhole = relative(folder.path, contextFolder) === "";
  if (isWhole && names.length === 0 && folder.kind === "put") {
    return new UserError(
      'the put has no inputs, so there is no Dockerfile: add "inputs: [NAME]" to the put step, with the artifact of a get or task before it, and context: NAME to its params',
    );
  }
  const inputs = isWhole ? await withDockerfile(contextFolder, names) : [];
  const like = names.filter((name) => /dockerfile|containerfile/i.test(name));
  const hint =
    inputs.length > 0
      ? `; ${inputs.map((name) => `${name} has one`).join(", ")}: write ${author.param("context")}: ${inputs.join(" or ")}`
      : like.length > 0
        ? `; the context holds ${like.join(", ")}`
        : "";
  return new UserError(
    `the context ${JSON.stringify(context)} contains no file named Dockerfile: name yours with "${dockerfileParam}", as a path relative to the ${folder.kind}'s folder${hint}`,
  );
}

async function withDockerfile(root: string, inputs: readonly string[]): Promise<string[]> {
  const found = await Promise.all(inputs.map((name) => isThere(join(root, name, "Dockerfile"))));
  return inputs.filter((_, index) => found[index]);
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}
