import type { LimitedEngine } from "./limits.ts";

/** A BuildKit daemon that can solve: the step's own, or one that runs elsewhere. */
export interface Engine extends AsyncDisposable {
  /** For the log: `a BuildKit of its own`, `BuildKit at tcp://build.example:1234`. */
  readonly where: string;
  /**
   * The version that the daemon reports. Undefined if its build has none, and for a daemon elsewhere before it has
   * answered.
   */
  readonly version: () => string | undefined;
  /** The version of the runc that it uses. Not known of a daemon elsewhere. */
  readonly runc?: string | undefined;
  /**
   * Whether it is believed which layers it has compared with their diff IDs. Only the daemon that the step started is:
   * it runs the program that this resource brings.
   */
  readonly provesLayers: boolean;
  /** buildctl's global arguments for connecting to it. */
  readonly connection: readonly string[];
  /**
   * What a RUN can use there, and how the daemon runs, such as `in a gVisor sandbox`. Undefined for a daemon
   * elsewhere.
   */
  readonly limited: LimitedEngine | undefined;
  /** The folders on this machine that the daemon writes to. */
  readonly folders: readonly string[];
  /**
   * As {@link diagnose}, but asks the daemon once only: later calls return the first answer.
   * @param said a way to learn what the daemon says of its version without asking it once more. If it says nothing,
   * it is asked.
   */
  accepts(said?: () => Promise<string | undefined>): Promise<string | undefined>;
  /**
   * Returns within seconds why the daemon can't be used: it died, doesn't answer, refuses the connection or is too
   * old. Returns undefined if it can be used.
   */
  diagnose(): Promise<string | undefined>;
}
