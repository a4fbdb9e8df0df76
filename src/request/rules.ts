import { UserError } from "../host/errors.ts";
import type { Fault } from "./faults.ts";

/**
 * What a request must keep besides the form of each field. Rules need neither inputs nor a network, so a step checks
 * them before it begins, and `validate` checks them in a pipeline.
 */
export interface Rule<T> {
  /** Names of the fields that the rule reads. A fault is placed at the first that is given. */
  readonly of: readonly string[];
  /** Names of fields of the source, for a rule about params. */
  readonly ofSource?: readonly string[];
  /**
   * Whether a fault is that a field is missing. It is not reported beside unknown names, because one of these may be
   * the field, misspelt.
   */
  readonly wants?: true;
  /**
   * Returns the messages of what is wrong, or one message.
   * @throws UserError with the one message, instead
   */
  readonly faults: (given: T) => undefined | string | readonly PlacedMessage[];
}

/** A message about a place within the first field that a rule reads. */
export interface PlacedMessage {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** Whether it only causes a warning. */
  readonly isAdvice?: true;
}

/** Fields whose values a rule can't rely on. */
export interface Unreliable {
  /** Whether a field of this name has a fault of its own. */
  readonly isFaulty: (field: string) => boolean;
  /** Whether there are unknown names. */
  readonly hasUnknown: boolean;
}

/** The faults by these rules. Rules that read a field with a fault of its own are not checked. */
export function faultsBy<T extends object>(
  rules: readonly Rule<T>[],
  given: T,
  { isFaulty, hasUnknown }: Unreliable = { isFaulty: () => false, hasUnknown: false },
): readonly Fault[] {
  const checked = rules.filter(
    ({ of, ofSource = [], wants = false }) => ![...of, ...ofSource].some(isFaulty) && !(wants && hasUnknown),
  );
  return checked.flatMap((rule) => {
    const { of, ofSource } = rule;
    const involves = { of, ...(ofSource === undefined ? {} : { ofSource }) };
    return placedFaults(rule, given).map((found) => ({ ...found, kind: "value" as const, involves }));
  });
}

function placedFaults<T extends object>({ of, faults }: Rule<T>, given: T): readonly PlacedMessage[] {
  const path = [of[0] ?? ""];
  try {
    const found = faults(given);
    if (found === undefined) return [];
    return typeof found === "string" ? [{ path, message: found }] : found;
  } catch (thrown) {
    if (!(thrown instanceof UserError)) throw thrown;
    return [{ path, message: thrown.message }];
  }
}

/** The same rules, whose faults only cause warnings. */
export function asAdvice<T extends object>(rules: readonly Rule<T>[]): readonly Rule<T>[] {
  return rules.map((rule) => ({
    ...rule,
    faults: (given) => placedFaults(rule, given).map((found) => ({ ...found, isAdvice: true as const })),
  }));
}

/** The messages that a check gives for some entries of a map or of a list, each placed at its entry. */
export function placed<V>(
  field: string,
  entries: Iterable<readonly [PropertyKey, V]>,
  check: (value: V, key: PropertyKey) => unknown,
): readonly PlacedMessage[] {
  return Array.from(entries).flatMap(([key, value]) => {
    try {
      check(value, key);
      return [];
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      return [{ path: [field, key], message: thrown.message }];
    }
  });
}

/** The faults of a rule whose check throws a UserError if there is one. */
export function thrownBy<T>(check: (given: T) => unknown): Rule<T>["faults"] {
  return (given) => {
    check(given);
    return undefined;
  };
}

/** Whether a check throws a UserError: another rule reports it. */
export function isRefused(check: () => unknown): boolean {
  return placed("", [["", undefined]], check).length > 0;
}
