import { UserError } from "../host/errors.ts";
import type { HostAccess } from "../registry/access.ts";
import { readRegistries } from "./registry-fields.ts";

/** The task's variable for what a resource has in `source.registries`. */
export const registriesVariable = "REGISTRIES";

/** Parses YAML, and throws if the text isn't YAML. */
export type ParseYaml = (text: string) => unknown;

/**
 * Reads a task's `REGISTRIES`: a map such as a resource's `source.registries`, as YAML or JSON.
 * @throws UserError if the text isn't such a map
 */
export function readTaskRegistries(text: string, parse: ParseYaml): ReadonlyMap<string, HostAccess> {
  if (text.trim() === "") return new Map();
  let given: unknown;
  try {
    given = parse(text);
  } catch {
    // The error isn't passed on: the parser quotes the text, which may be a password.
    throw new UserError(
      `${registriesVariable}: expected YAML or JSON, such as {registry.example: {username: …, password: …}}`,
    );
  }
  return readRegistries(given, registriesVariable);
}
