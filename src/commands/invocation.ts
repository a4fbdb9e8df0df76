import type { StepContext } from "../host/step-context.ts";

/** What the main module passes to a command. */
export interface Invocation {
  readonly step: StepContext;
  /** The arguments after the command's name. */
  readonly args: readonly string[];
  /** Reads all of stdin as text. @throws UserError if it is larger than any request, or not UTF-8 */
  readonly readInput: () => Promise<string>;
}

/** Returns the JSON document for stdout, or undefined if there is none (a task). */
export type Command = (invocation: Invocation) => Promise<unknown>;
