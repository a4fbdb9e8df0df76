import { UserError } from "../host/errors.ts";

/** Parses YAML, and throws if the text isn't YAML. */
export type ParseYaml = (text: string) => unknown;

/** A variable of a task's that holds a map. */
export interface MapVariable {
  readonly name: string;
  /** Such a map, for messages. */
  readonly example: string;
}

/**
 * Parses a task's variable that holds a map, as YAML or JSON.
 * @returns undefined if the text is empty
 * @throws UserError if it is neither
 */
export function parseVariable(text: string, parse: ParseYaml, { name, example }: MapVariable): unknown {
  if (text.trim() === "") return undefined;
  try {
    return parse(text);
  } catch {
    // The error isn't passed on: the parser quotes the text, which may be a password.
    throw new UserError(`${name}: expected YAML or JSON, such as ${example}`);
  }
}
