export type Variables = ReadonlyMap<string, string>;

/**
 * Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}` (Dockerfile reference, "Environment
 * replacement"). A name that isn't set is empty. Pure.
 * @returns undefined for any other form
 */
export function expandVariables(text: string, variables: Variables): string | undefined {
  let isUnknown = false;
  const expanded = text.replaceAll(
    /\\(.)|\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^${}]*))?\})|\$/g,
    (_, escaped?: string, plain?: string, braced?: string, operator?: string, word = "") => {
      if (escaped !== undefined) return escaped;
      const name = plain ?? braced;
      if (name === undefined) {
        isUnknown = true;
        return "";
      }
      const value = variables.get(name);
      const isSet = operator?.startsWith(":") === true ? (value ?? "") !== "" : value !== undefined;
      if (operator?.endsWith("-") === true) return isSet ? (value ?? "") : word;
      if (operator?.endsWith("+") === true) return isSet ? word : "";
      return value ?? "";
    },
  );
  return isUnknown ? undefined : expanded;
}

/**
 * The pairs of an `ENV NAME=value …`, or the single pair of the old form `ENV NAME value`. Values are not expanded.
 * Pure.
 */
export function readEnv(rest: string): readonly (readonly [string, string])[] {
  const [, name, value] = /^([^\s=]+)\s+(.*)$/s.exec(rest) ?? [];
  if (name !== undefined && value !== undefined) return [[name, unquoted(value)]];
  return readArgs(rest).map(([key, given]) => [key, given ?? ""]);
}

/** The names of an ARG, each with its default if it has one. Values are not expanded. Pure. */
export function readArgs(rest: string): readonly (readonly [string, string | undefined])[] {
  const words = rest.match(/(?:"(?:\\.|[^"])*"|'[^']*'|\\.|[^\s"'])+/g) ?? [];
  return words.map((word) => {
    const [, key = word, given] = /^([^=]+)=(.*)$/s.exec(word) ?? [];
    return [key, given === undefined ? undefined : unquoted(given)] as const;
  });
}

function unquoted(word: string): string {
  return word.replaceAll(
    /"((?:\\.|[^"])*)"|'([^']*)'/g,
    (_, double?: string, single?: string) => double ?? single ?? "",
  );
}
