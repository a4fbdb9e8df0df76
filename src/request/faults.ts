import { UserError } from "../host/errors.ts";
import { suggestName } from "../host/suggest.ts";

/** One thing that is wrong in a source or in params. */
export interface Fault {
  /** Names and list indexes that lead to it, from the source or the params on. */
  readonly path: readonly PropertyKey[];
  /** The whole message, which begins with the place. It never shows a value. */
  readonly message: string;
  /** What is wrong: the last name of the path, the value there, or a part of a value that has none of several forms. */
  readonly kind: "name" | "value" | "choice";
}

/** Faults that one message tells. */
const mostTold = 20;

/** Everything that is wrong in a request, each fault on a line of its own. */
export class RequestError extends UserError {
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    const more = faults.length - mostTold;
    const lines = faults.slice(0, mostTold).map(({ message }) => message);
    super([...lines, ...(more > 0 ? [`… and ${more} more`] : [])].join("\n"));
    this.faults = faults;
  }
}

/** What kind of JSON value this is, for messages that must not show the value itself. */
export function jsonKindOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing (null)";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return `a ${typeof value}`;
}

/** A hint at the nearest of the names, if one is near. */
export function didYouMean(name: string, known: Iterable<string>): string | undefined {
  const near = suggestName(name, known);
  return near === undefined ? undefined : `did you mean ${JSON.stringify(near)}?`;
}
