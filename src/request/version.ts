import { UserError } from "../host/errors.ts";
import { type BuildVersion, parseVersionFields, versionForms } from "../image/build-version.ts";

/**
 * Reads a version that Concourse passes.
 * @throws UserError if no put of this resource can have returned it, for example because of unknown fields
 */
export function readBuildVersion(given: Readonly<Record<string, unknown>>): BuildVersion {
  const version = parseVersionFields(given);
  if (version !== undefined) return version;
  throw new UserError(
    `version: ${wrongPart(given)}. Expected a version that a put of this resource returned: digest and, if the put had them, targets, delivery and put. Correct it where it comes from (version: of a get, a pin, fly check-resource --from)`,
  );
}

function wrongPart(given: Readonly<Record<string, unknown>>): string {
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(versionForms, name));
  if (unknown !== undefined) return `there is no field ${JSON.stringify(unknown.slice(0, 80))}`;
  if (given["digest"] === undefined) return "digest is missing";
  const [name, { form }] = Object.entries(versionForms).find(([field, { fits }]) => {
    const value = given[field];
    return value !== undefined && !(typeof value === "string" && fits(value));
  }) ?? ["digest", versionForms.digest];
  const found = given[name];
  const shown = typeof found === "string" ? JSON.stringify(found.slice(0, 80)) : "not a string";
  return `${name} is ${shown}; expected ${form}`;
}
