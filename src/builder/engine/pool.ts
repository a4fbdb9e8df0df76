import type { Platform } from "../../image/descriptor.ts";
import type { Engine } from "./engine.ts";

/** A share of a solve, and who can do it. */
export interface Share {
  /** Empty for the daemon's own. */
  readonly platforms: readonly Platform[];
  /** Best first: the next is tried when one can't be used. */
  readonly engines: readonly [Engine, ...Engine[]];
  /** Whether they are known to answer; otherwise they are asked first. */
  readonly areProven: boolean;
}

/** The daemons of a build: one, or several nodes. */
export interface EnginePool extends AsyncDisposable {
  /** As {@link Engine.limited}, of the one that the step started. */
  readonly limited: Engine["limited"];
  /**
   * Who solves what of a target. Several shares are solved at the same time, each by a daemon of its own, and give
   * one image each.
   * @throws UserError when no daemon has one of the platforms
   */
  share(target: string, platforms: readonly Platform[]): Promise<readonly [Share, ...Share[]]>;
}

/** A pool of one daemon that is known to answer, which solves all platforms in one. */
export function poolOf(engine: Engine): EnginePool {
  return {
    limited: engine.limited,
    share: async (_target, platforms) => [{ platforms, engines: [engine], areProven: true }],
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}
