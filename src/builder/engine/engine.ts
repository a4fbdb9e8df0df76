/** A BuildKit that solves can be sent to: our own daemon, or one that runs elsewhere. */
export interface Engine extends AsyncDisposable {
  /** For the log: `the container's own buildkitd`, `buildkitd at tcp://build.example:1234`. */
  readonly where: string;
  /** The global arguments by which buildctl reaches it. */
  readonly connection: readonly string[];
  /**
   * After a solve has failed: why, if the daemon itself is the reason (it died, it doesn't answer, it refuses us),
   * else undefined.
   */
  diagnose(): Promise<string | undefined>;
}
