import { startChild } from "../host/child.ts";
import { UserError } from "../host/errors.ts";
import { maskCredentials } from "../host/mask-credentials.ts";
import { orNone } from "../host/or-none.ts";
import type { StepContext } from "../host/step-context.ts";
import type { RegistryAccess } from "./access.ts";
import { asObject, dockerConfig, serverNameOf } from "./docker-config.ts";

/** How a client authenticates. */
export type Credentials =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  /** A token to exchange for an access token (Docker's `identitytoken`). */
  | { readonly kind: "refresh token"; readonly token: string }
  | { readonly kind: "none" };

/** Milliseconds. A helper may ask a cloud's service, but not for ever. */
const helperDeadline = 30_000;

/**
 * Finds the credentials for one registry as the Docker client does: from this registry's helper, else from the
 * helper for all registries, else from the entries under `auths`.
 * @param step its environment is passed to the helper
 * @throws UserError if a helper fails
 */
export async function findCredentials(
  access: RegistryAccess,
  registry: string,
  step: Pick<StepContext, "env" | "signal">,
): Promise<Credentials> {
  const config = dockerConfig(access);
  const server = serverNameOf(registry);
  const helpers = asObject(config["credHelpers"]);
  const helper = Object.hasOwn(helpers, server) ? helpers[server] : config["credsStore"];
  if (typeof helper === "string" && helper !== "") return askHelper(helper, server, step);
  const entries = Object.entries(asObject(config["auths"]));
  const exact = entries.find(([name]) => name === server);
  const [, entry] = exact ?? entries.find(([name]) => hostOf(name) === hostOf(server)) ?? [];
  return entry === undefined ? { kind: "none" } : fromEntry(asObject(entry));
}

/** The host in a name of a registry, which is a URL in older files. */
function hostOf(name: string): string {
  return name.replace(/^https?:\/\//, "").replace(/\/.*$/, "");
}

function fromEntry(entry: Readonly<Record<string, unknown>>): Credentials {
  const identity = entry["identitytoken"];
  if (typeof identity === "string" && identity !== "") return { kind: "refresh token", token: identity };
  const { auth } = entry;
  const decoded = typeof auth === "string" ? Buffer.from(auth, "base64").toString("utf8") : "";
  const colon = decoded.indexOf(":");
  const username = colon > 0 ? decoded.slice(0, colon) : entry["username"];
  const password = colon > 0 ? decoded.slice(colon + 1).replace(/\0+$/, "") : entry["password"];
  if (typeof username !== "string" || typeof password !== "string" || username === "")
    return { kind: "none" };
  return { kind: "password", username, password };
}

/**
 * Asks a helper by the protocol of github.com/docker/docker-credential-helpers: the server on stdin, JSON on
 * stdout.
 */
async function askHelper(
  name: string,
  server: string,
  step: Pick<StepContext, "env" | "signal">,
): Promise<Credentials> {
  const subject = `credential helper ${JSON.stringify(name)} for ${server}`;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
    throw new UserError(`${subject}: expected the end of a program's name: docker-credential-…`);
  const asked = await startChild(step, `docker-credential-${name}`, ["get"], {
    input: server,
    reject: false,
    timeout: helperDeadline,
  });
  step.signal.throwIfAborted();
  if (asked.exitCode === 127)
    throw new UserError(`${subject}: there is no docker-credential-${name} on PATH of this image`);
  if (asked.exitCode !== 0) {
    if (/credentials not found/i.test(asked.stdout)) return { kind: "none" };
    const said = maskCredentials(asked.stdout || asked.stderr)
      .replaceAll(/\s+/g, " ")
      .trim()
      .slice(0, 300);
    const how = asked.timedOut ? `no answer within ${helperDeadline / 1000} s` : said || "no reason given";
    throw new UserError(`${subject} failed: ${how}`);
  }
  const { Username: username, Secret: secret } = asObject(orNone(() => JSON.parse(asked.stdout)));
  // What was found isn't shown: it may be a part of a secret.
  if (typeof username !== "string" || typeof secret !== "string")
    throw new UserError(`${subject}: expected JSON with Username and Secret, found something else`);
  if (username === "<token>") return { kind: "refresh token", token: secret };
  return { kind: "password", username, password: secret };
}
