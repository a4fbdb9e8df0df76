import type { Platform } from "../../image/descriptor.ts";
import type { Engine } from "./engine.ts";

/** A part of a solve, and the daemons that can do it. */
export interface Share {
  /** If empty, the daemon builds for its own platform. */
  readonly platforms: readonly Platform[];
  /** Best first. If a daemon can't be used, the next is tried. */
  readonly engines: readonly [Engine, ...Engine[]];
}

/** The daemons of a build: one, several nodes, or a farm. */
export interface EnginePool extends AsyncDisposable {
  /** {@link Engine.limited} of the daemon that the step started. */
  readonly limited: Engine["limited"];
  /**
   * Splits the solve of a target between daemons. Several shares are solved at the same time, each by its own
   * daemon, and each results in one image.
   * @throws UserError if no daemon has one of the platforms
   */
  share(target: string, platforms: readonly Platform[]): Promise<readonly [Share, ...Share[]]>;
}

/** A pool of one daemon. It solves all platforms at once. */
export function poolOf(engine: Engine): EnginePool {
  return {
    limited: engine.limited,
    share: async (_target, platforms) => [{ platforms, engines: [engine] }],
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
