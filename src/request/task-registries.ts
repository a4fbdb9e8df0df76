import type { HostAccess } from "../registry/access.ts";
import { readRegistries } from "./registry-fields.ts";
import { type ParseYaml, parseVariable } from "./task-yaml.ts";

/** The task's variable for what a resource has in `source.registries`. */
export const registriesVariable = "REGISTRIES";

/**
 * Reads a task's `REGISTRIES`: a map such as a resource's `source.registries`, as YAML or JSON.
 * @throws UserError if the text isn't such a map
 */
export function readTaskRegistries(text: string, parse: ParseYaml): ReadonlyMap<string, HostAccess> {
  const example = "{registry.example: {username: …, password: …}}";
  const given = parseVariable(text, parse, { name: registriesVariable, example });
  return given === undefined ? new Map() : readRegistries(given, registriesVariable);
}
