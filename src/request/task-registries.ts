import { UserError } from "../host/errors.ts";
import type { HostAccess } from "../registry/access.ts";
import { readRegistries } from "./registry-fields.ts";

/** The variable of a task that holds what a resource's `source.registries` does. */
export const registriesVariable = "REGISTRIES";

/**
 * Reads a task's `REGISTRIES`: YAML or JSON of the map that a resource's source has under `registries`.
 * @throws UserError for what is no such map
 */
export async function readTaskRegistries(text: string): Promise<ReadonlyMap<string, HostAccess>> {
  if (text.trim() === "") return new Map();
  const { parse } = await import("yaml");
  let given: unknown;
  try {
    given = parse(text, { prettyErrors: false });
  } catch {
    // The parser would quote what may be a password.
    throw new UserError(
      `${registriesVariable}: expected YAML or JSON, such as {registry.example: {username: …, password: …}}`,
    );
  }
  return readRegistries(given, registriesVariable);
}
