import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type InputFolder, readInputText } from "../builder/inputs/input-folder.ts";
import { withPathUnshown } from "../builder/inputs/path-or-secret.ts";
import type { Environment } from "../host/step-context.ts";
import type { RegistryAccess } from "../registry/access.ts";
import { parseDockerConfig } from "../registry/docker-config.ts";

/**
 * A task's registry settings: the hosts of its variable `REGISTRIES`, and the Docker client's configuration. The latter
 * is in the folder that `DOCKER_CONFIG` names, relative to the task's folder, or else in `~/.docker`.
 * @throws UserError if a configuration is missing or can't be read
 */
export async function taskAccess(
  env: Environment,
  { folder, hosts }: { readonly folder: InputFolder } & Pick<RegistryAccess, "hosts">,
): Promise<RegistryAccess> {
  const dockerConfig = await clientConfig(env, folder);
  return { hosts, ...(dockerConfig === undefined ? {} : { dockerConfig }) };
}

async function clientConfig(
  env: Environment,
  folder: InputFolder,
): Promise<Record<string, unknown> | undefined> {
  const { DOCKER_CONFIG: named = "", HOME: home = "" } = env;
  const inHome = join(home, ".docker/config.json");
  if (named === "" && (home === "" || !(await isRegularFile(inHome)))) return undefined;
  const file = named === "" ? inHome : join(named, "config.json");
  const subject = named === "" ? "~/.docker/config.json" : "DOCKER_CONFIG";
  const expected =
    "expected the path of a folder with a config.json. Logins themselves are given in the variable REGISTRIES";
  const read = () => readInputText(folder, file, subject);
  const text =
    named === "" ? await read() : await withPathUnshown({ subject, folder, path: named, expected }, read);
  return parseDockerConfig(text, subject);
}

async function isRegularFile(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
