import { UserError } from "../../host/errors.ts";
import { familiarName, parseReference } from "../../image/reference.ts";

/**
 * BuildKit's key for a named context (dockerui, `namedContext`), from the name that `FROM` uses: the key of
 * `docker.io/library/alpine:latest` is `alpine`.
 * @throws UserError if `FROM` can't use such a name
 */
export function namedContextKey(name: string): string {
  return familiarName(parseReference(name, `contexts.${name.slice(0, 200)}`));
}

/** Pure. @throws UserError if two names have the same key in BuildKit */
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
