import type { StepName } from "./step.ts";

/** What became of one solve. */
export interface SolveSummary {
  /** Instructions of the Dockerfile; one that several solves share counts for the first of them alone. */
  readonly steps: { readonly run: number; readonly cached: number };
  /** Findings of BuildKit's checks, each with file and line where known. */
  readonly warnings: readonly string[];
  /** For the author of the Dockerfile, when the solve failed. */
  readonly failure?: string;
  /** Why a layer cache wasn't written, in BuildKit's words. */
  readonly unwrittenCache?: string;
  readonly seconds: number;
}

/** Takes the stderr of one solve's buildctl. */
export interface FollowedSolve {
  write(chunk: Buffer): void;
  /** What is under way: the names of steps that have begun and not ended. None where that isn't told. */
  running(): readonly StepName[];
  /** After the last bytes. */
  end(): SolveSummary;
}
