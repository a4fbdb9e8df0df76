/** How a selector's identifier is read: `*` is any text in a WILDCARD alone. A REGEX is Go's. */
export type MatchType = "WILDCARD" | "EXACT" | "REGEX";

/** What BuildKit's names of sources begin with (BuildKit, source/types). */
const schemes = [
  "docker-image",
  "docker-image+blob",
  "git",
  "http",
  "https",
  "local",
  "oci-layout",
  "oci-layout+blob",
];

const imageScheme = "docker-image://";

/**
 * Why a rule with this identifier never applies, and what to write instead. Undefined if it may apply. BuildKit says
 * nothing of such a rule, so a DENY that forbids nothing would pass for one that does. Pure.
 */
export function whyNeverApplies(identifier: string, type: MatchType): string | undefined {
  if (type === "REGEX") return undefined;
  if (type === "EXACT" && identifier.includes("*"))
    return "expected a name without *, which an EXACT identifier takes as it is: write match_type: WILDCARD";
  const [literal = ""] = identifier.split("*", 1);
  const [, scheme] = /^(.*?):\/\//.exec(literal) ?? [];
  if (scheme === undefined) {
    const isOpen = literal !== identifier && schemes.some((each) => `${each}://`.startsWith(literal));
    return isOpen
      ? undefined
      : 'expected the beginning of a source, such as docker-image://registry.example/base:*, or "*", since without it the rule never applies';
  }
  if (!schemes.includes(scheme))
    return `expected a source of BuildKit, which begins with ${schemes.map((each) => `${each}://`).join(", ")}, since otherwise the rule never applies`;
  return identifier.startsWith(imageScheme) ? whyNoImage(identifier.slice(imageScheme.length)) : undefined;
}

/** Why no image has such a name. In a policy its registry, `library/` of Docker Hub and its tag are written out. */
function whyNoImage(pattern: string): string | undefined {
  const [odd] = /[^\w.:/@*+-]/.exec(pattern.replace(/^\[[0-9a-fA-F:.*]*\]?/, "")) ?? [];
  if (odd !== undefined)
    return `expected the name of an image, which has no ${JSON.stringify(odd)}: in a WILDCARD only * is special; write match_type: REGEX for more`;
  const full = fullPattern(pattern);
  if (full !== undefined)
    return `expected the whole name, as BuildKit writes it, since otherwise the rule never applies: ${imageScheme}${full}`;
  const last = pattern.slice(pattern.lastIndexOf("/") + 1);
  return /[:@]/.test(last) || pattern.includes("*")
    ? undefined
    : `expected the name of an image with its tag or digest, since otherwise the rule never applies: ${imageScheme}${pattern === "" ? "*" : `${pattern}:*`}`;
}

/** What was meant by a pattern that lacks the registry's name, or Docker Hub's `library/`. Undefined if it lacks nothing. */
function fullPattern(pattern: string): string | undefined {
  const [literal = ""] = pattern.split("*", 1);
  const isOpen = literal !== pattern;
  const [first = "", ...path] = literal.split("/");
  if (literal === "" || literal.startsWith("[")) return undefined;
  // A colon may stand before a port.
  if (path.length === 0)
    return !isOpen || /^[^:]*@|^[^:]+:\d*[^\d]/.test(literal) ? onHub(pattern) : undefined;
  if (!/[.:A-Z]/.test(first) && first !== "localhost") return onHub(pattern);
  const rest = pattern.slice(first.length + 1);
  if (first === "index.docker.io") return onHub(rest);
  const isOfficial = path.length === 1 && (!isOpen || /[:@]/.test(path[0] ?? ""));
  return first === "docker.io" && isOfficial ? onHub(rest) : undefined;
}

function onHub(pattern: string): string {
  return `docker.io/${/^[^:@*]*\//.test(pattern) ? "" : "library/"}${pattern}`;
}

/**
 * Why a rule with this identifier hardly does what its author thinks of, and what to write instead. Undefined for any
 * other identifier. Pure.
 */
export function doubtOf(identifier: string, type: MatchType): string | undefined {
  if (type === "EXACT") return undefined;
  if (type === "REGEX") return doubtOfExpression(identifier);
  const meant = meantOnHub(identifier);
  return meant === undefined
    ? undefined
    : `${identifier} is for registries with such a name; for images of Docker Hub write ${meant}`;
}

/**
 * What a wildcard seems to mean that may apply, but hardly to what its author thinks of: `docker-image://alpine:*` holds
 * for a registry with the name `alpine`.
 */
function meantOnHub(identifier: string): string | undefined {
  if (!identifier.startsWith(imageScheme)) return undefined;
  const pattern = identifier.slice(imageScheme.length);
  const [, name, digits = ""] = /^([a-z0-9_-]+)(?::(\d*))?\*[^/]*$/.exec(pattern) ?? [];
  if (name === undefined || ["localhost", "docker.io"].some((host) => host.startsWith(name)))
    return undefined;
  // Four digits are rather a port than a tag.
  return digits.length > 3 ? undefined : `${imageScheme}${onHub(pattern)}`;
}

/** Why an expression hardly matches any source, by how each of its alternatives begins. */
function doubtOfExpression(expression: string): string | undefined {
  for (const alternative of alternativesOf(expression)) {
    const { beginning, rest, isAnchored } = literalStart(alternative);
    // Elsewhere than at its beginning a source has no such text.
    if (!(isAnchored || beginning.startsWith(imageScheme)) || beginning.includes("*")) continue;
    if (!mayBegin(beginning))
      return `no source matches ${alternative}: a source begins with ${schemes.map((each) => `${each}://`).join(", ")}`;
    if (!beginning.startsWith(imageScheme)) continue;
    const pattern = `${beginning}${isAnchored && isEnd.test(rest) ? "" : "*"}`;
    // A name that goes on in the expression may be that of a registry.
    const goesOn = !/^(\.[*+]\$?)?$/.test(rest) && !isEnd.test(rest);
    const full = fullPattern(pattern.slice(imageScheme.length));
    const meant = full === undefined ? (goesOn ? undefined : meantOnHub(pattern)) : `${imageScheme}${full}`;
    if (meant !== undefined)
      return `hardly any image matches ${alternative}: BuildKit writes the whole name, as in ${meant.replace(/\*$/, "…")}`;
  }
  return undefined;
}

const isEnd = /^(\$|\\z)$/;

/** Whether a source may begin like an expression that begins so. A `.` may stand for any character. */
function mayBegin(beginning: string): boolean {
  return schemes
    .map((each) => `${each}://`)
    .some((scheme) =>
      Array.from(scheme.slice(0, beginning.length)).every(
        (character, index) => beginning[index] === character || beginning[index] === ".",
      ),
    );
}

/** The alternatives of an expression that stand outside of groups, brackets and quotes. */
function alternativesOf(expression: string): string[] {
  if (/\\Q|^\(\?[a-zA-Z-]+\)/.test(expression)) return [];
  const parts = [""];
  let depth = 0;
  for (const [piece] of expression.matchAll(/\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|[\s\S]/g)) {
    if (piece === "(") depth++;
    if (piece === ")") depth--;
    if (piece === "|" && depth === 0) parts.push("");
    else parts.push(`${parts.pop() ?? ""}${piece}`);
  }
  return parts;
}

/** The text that everything begins with that an expression matches. A `.` is taken for the dot of a name. */
function literalStart(alternative: string): {
  readonly beginning: string;
  /** What follows it in the expression. */
  readonly rest: string;
  /** Whether a match begins where the source does. */
  readonly isAnchored: boolean;
} {
  const [, anchor = "", all = ""] = /^(\^|\\A)?(.*)$/s.exec(alternative) ?? [];
  const [literal = ""] = /^(?:\\[^\w\s]|[^\\^$*+?()[\]{}|])*/.exec(all) ?? [];
  // What follows may make the last character optional, or repeat it.
  const kept = /^[*+?{]/.test(all.slice(literal.length)) ? literal.replace(/\\?.$/s, "") : literal;
  return {
    beginning: kept.replaceAll(/\\(.)/gs, "$1"),
    rest: all.slice(kept.length),
    isAnchored: anchor !== "",
  };
}
