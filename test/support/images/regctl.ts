import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { toolEnvironment } from "../runs/test-step.ts";

/** How regctl reaches a registry of a test; plain http without credentials unless told otherwise. */
export interface RegistryLogin {
  readonly username?: string;
  readonly password?: string;
  /** PEM file of the authority that signed the registry's certificate: https. */
  readonly ca?: string;
}

/** Runs regctl against the registry at `host` and answers its standard output. */
export async function regctl(
  host: string,
  args: readonly string[],
  login: RegistryLogin = {},
): Promise<string> {
  await using folder = await createPrivateFolder("test-regctl");
  const config = join(folder.path, "config.json");
  const access = {
    tls: login.ca === undefined ? "disabled" : "enabled",
    ...(login.ca === undefined ? {} : { regcert: await readFile(login.ca, "utf8") }),
    ...(login.username === undefined ? {} : { user: login.username, pass: login.password ?? "" }),
  };
  await writeFile(config, JSON.stringify({ version: 1, hosts: { [host]: access } }), { mode: 0o600 });
  const env = toolEnvironment({ REGCTL_CONFIG: config, DOCKER_CONFIG: folder.path });
  const { stdout } = await execa("regctl", args, {
    env,
    extendEnv: false,
    stdin: "ignore",
    stripFinalNewline: false,
  });
  return stdout;
}
