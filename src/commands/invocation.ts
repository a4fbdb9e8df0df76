import type { StepContext } from "../host/step-context.ts";

/** What a command is given by the outermost file. */
export interface Invocation {
  readonly step: StepContext;
  /** Arguments after the command's name. */
  readonly args: readonly string[];
  /** All of stdin, as text. @throws UserError when it is larger than any request */
  readonly readInput: () => Promise<string>;
}

/** Answers with the one JSON document for stdout, or with nothing (a task). */
export type Command = (invocation: Invocation) => Promise<unknown>;
