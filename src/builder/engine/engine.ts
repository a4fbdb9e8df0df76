import type { Limits } from "./limits.ts";

/** A BuildKit that solves can be sent to: our own daemon, or one that runs elsewhere. */
export interface Engine extends AsyncDisposable {
  /** For the log: `a BuildKit of its own`, `BuildKit at tcp://build.example:1234`. */
  readonly where: string;
  /** As it says it; undefined before {@link diagnose}, or where it is a build without one. */
  readonly version: () => string | undefined;
  /** The global arguments by which buildctl reaches it. */
  readonly connection: readonly string[];
  /** What RUN lacks there, and how the daemon runs, as in `in a gVisor sandbox`; undefined for one that runs elsewhere. */
  readonly limited: { readonly limits: Limits; readonly where: string } | undefined;
  /** Folders of this machine that it writes to, if any. */
  readonly folders: readonly string[];
  /**
   * Why the daemon can't be used (it died, it doesn't answer, it refuses us, it is too old), if that is so, else
   * undefined. Answers within seconds.
   */
  diagnose(): Promise<string | undefined>;
}
