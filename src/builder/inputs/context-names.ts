import { UserError } from "../../host/errors.ts";
import { familiarName, parseReference } from "../../image/reference.ts";

/**
 * The name by which BuildKit looks for a named context (dockerui, `namedContext`), of a name as `FROM` has it:
 * `docker.io/library/alpine:latest` is `alpine`.
 * @throws UserError when `FROM` can't have such a name
 */
export function namedContextKey(name: string): string {
  return familiarName(parseReference(name, `contexts.${name.slice(0, 200)}`));
}

/** Pure. @throws UserError when two names are one */
export function checkContextNames(names: readonly string[]): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    const found = namedContextKey(name);
    const other = seen.get(found);
    if (other !== undefined)
      throw new UserError(
        `contexts: ${JSON.stringify(other)} and ${JSON.stringify(name)} are one name: remove one`,
      );
    seen.set(found, name);
  }
}
