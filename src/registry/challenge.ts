/**
 * The authentication that a registry asks for (RFC 9110 11.6.1; distribution-spec, authentication of Docker's
 * registries).
 */
export interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  readonly scheme: string;
  readonly params: ReadonlyMap<string, string>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const param = `(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${token}))`;

/**
 * Parses the values of `WWW-Authenticate`, whether they came in one header or in several. Stops at text that isn't
 * a challenge. Pure.
 */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; params: Map<string, string> }[] = [];
  const part = new RegExp(`\\s*,?\\s*(?:${param}|(${token})(?=\\s|,|$))`, "y");
  while (part.lastIndex < header.length) {
    const match = part.exec(header);
    if (match === null) break;
    const [, name, quoted, plain, scheme] = match;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), params: new Map() });
    else if (name !== undefined) {
      const value = quoted?.replaceAll(/\\(.)/g, "$1") ?? plain ?? "";
      challenges.at(-1)?.params.set(name.toLowerCase(), value);
    }
  }
  return challenges;
}
