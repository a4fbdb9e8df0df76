import type { StepName } from "./step.ts";

/** In milliseconds since 1970. */
export interface Period {
  readonly from: number;
  readonly to: number;
}

/** The outcome of one solve. */
export interface SolveSummary {
  /** Instructions of the Dockerfile. One that several solves share counts only for the first of them. */
  readonly steps: { readonly run: number; readonly cached: number };
  /** Findings of BuildKit's checks, each with file and, if known, line. */
  readonly warnings: readonly string[];
  readonly failure?: SolveFailure;
  /** Why a layer cache wasn't written, in BuildKit's words. */
  readonly unwrittenCache?: string;
  /** When it pushed the image, in milliseconds since 1970. */
  readonly pushing?: Period;
  readonly seconds: number;
}

/** Why a solve failed. */
export interface SolveFailure {
  /** For the author of the Dockerfile: the step, the end of its output, and why. */
  readonly message: string;
  /** The reason alone, in BuildKit's words and without the step's command. What kind of failure it is, is told by this. */
  readonly reason: string;
  /** Whether the frontend that the Dockerfile names ended without an answer. */
  readonly isEndOfFrontend?: boolean;
}

/** An instruction that was run, not taken from a cache. */
export interface RanStep {
  /** Of its vertex. Solves that share a step have the same one. */
  readonly digest: string;
  readonly name: StepName;
  readonly seconds: number;
}

/** Reads the stderr of one solve's buildctl. */
export interface FollowedSolve {
  write(chunk: Buffer): void;
  /** The names of the steps that have begun and not ended. */
  running(): readonly StepName[];
  /** The instructions that this solve was the first to report as run. */
  ran(): readonly RanStep[];
  /** To be called after the last bytes. */
  end(): SolveSummary;
}
