import { UserError } from "../host/errors.ts";
import { suggestName } from "../host/suggest.ts";

/** One thing that is wrong in a source or in params. */
export interface Fault {
  /** Names and list indexes that lead to the fault, starting below the source or the params. */
  readonly path: readonly PropertyKey[];
  /** The whole message. It begins with the place, and shows no value of a field that may hold a secret. */
  readonly message: string;
  /**
   * What is wrong. `name`: the last name of the path. `value`: the value there. `choice`: the value there fits none
   * of the allowed forms, perhaps because of a part of it.
   */
  readonly kind: "name" | "value" | "choice";
  /** The field that the path's first name sets, if that is another form of it: `context` for `CONTEXT`. */
  readonly field?: string;
  /** Whether it only causes a warning. */
  readonly isAdvice?: true;
  /** For a name that there isn't: the message's parts, so that names with the same advice are told in one line. */
  readonly unknown?: UnknownName;
  /** For a rule about several fields: the names of all that it reads, of which any may be the wrong one. */
  readonly involves?: { readonly of: readonly string[]; readonly ofSource?: readonly string[] };
}

export interface UnknownName {
  /** What the message begins with: `params: there is no param`. */
  readonly where: string;
  readonly name: string;
  readonly advice: string | undefined;
}

/** The fault of a name that there isn't. */
export function unknownNameFault(path: readonly PropertyKey[], unknown: UnknownName): Fault {
  return { path, message: unknownMessage(unknown, [unknown.name]), kind: "name", unknown };
}

function unknownMessage({ where, advice }: UnknownName, names: readonly string[]): string {
  const [last = "", ...others] = names.map((name) => JSON.stringify(name)).toReversed();
  const all = others.length === 0 ? last : `${others.toReversed().join(", ")} or ${last}`;
  return `${where} ${all}${advice === undefined ? "" : `; ${advice}`}`;
}

/** The lines of a message with all faults. */
function faultLines(faults: readonly Fault[]): readonly string[] {
  const groups = Map.groupBy(faults, (fault) => {
    const { where, advice } = fault.unknown ?? {};
    return advice === undefined ? fault : `${where}; ${advice}`;
  });
  return Array.from(groups.values(), ([first, ...more]) => {
    if (first?.unknown === undefined || more.length === 0) return first?.message ?? "";
    return unknownMessage(
      first.unknown,
      [first, ...more].map((fault) => fault.unknown?.name ?? ""),
    );
  });
}

/** Number of faults that one message lists. */
const mostTold = 20;

/** Everything that is wrong in a request, one fault per line. */
export class RequestError extends UserError {
  readonly faults: readonly Fault[];

  constructor(faults: readonly Fault[]) {
    const lines = faultLines(faults);
    const more = lines.length - mostTold;
    super([...lines.slice(0, mostTold), ...(more > 0 ? [`… and ${more} more`] : [])].join("\n"));
    this.faults = faults;
  }
}

/** The kind of a JSON value, for messages that must not show the value itself. */
export function jsonKindOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing (null)";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  return `a ${typeof value}`;
}

/** A hint at the known name that is most like this one, if any is. */
export function didYouMean(name: string, known: Iterable<string>): string | undefined {
  const near = suggestName(name, known);
  return near === undefined ? undefined : `did you mean ${JSON.stringify(near)}?`;
}
