import { createHash } from "node:crypto";
import { UserError } from "../../host/errors.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Platform } from "../../image/descriptor.ts";
import { formatPlatform, isSamePlatform } from "../../image/platform.ts";
import type { Engine } from "./engine.ts";
import type { EnginePool, Share } from "./pool.ts";
import { daemonWorkers, type RemoteBuildKit, reachRemoteDaemon } from "./remote-daemon.ts";

/** One of several daemons, each of which builds for its own platforms. */
export interface Node extends RemoteBuildKit {
  /** The machine's native platforms. */
  readonly platforms: readonly [Platform, ...Platform[]];
}

export type Nodes = readonly [Node, ...Node[]];

export interface OpenNodes {
  readonly step: StepContext;
  readonly workspace: string;
  /**
   * Identifies what is built. Nodes with the same platform are always tried in the same order for the same subject.
   */
  readonly subject: string;
}

interface OpenNode {
  readonly node: Node;
  readonly engine: Engine;
}

/** Prepares the connection to each node. No node is contacted before it is needed. */
export async function openNodes(nodes: Nodes, { step, workspace, subject }: OpenNodes): Promise<EnginePool> {
  const open = async (node: Node, index: number): Promise<OpenNode> => ({
    node,
    engine: await reachRemoteDaemon(node, { step, workspace, name: `node-${index}` }),
  });
  const [first, ...others] = await Promise.all(nodes.map(open));
  if (first === undefined) throw new Error("a pool of nodes has no node");
  const opened = [first, ...others];
  return {
    limited: undefined,
    async share(target, platforms) {
      const wanted = platforms.length > 0 ? platforms : [first.node.platforms[0]];
      const [share, ...shares] = await Promise.all(
        wanted.map(async (platform): Promise<Share> => {
          const able = await ableNodes(opened, platform, step);
          const [best, ...next] = ranked(able, `${subject}\0${target}`, ({ node }) => node.address);
          if (best === undefined) throw lacking(platform, nodes);
          const engines = [best.engine, ...next.map(({ engine }) => engine)] as const;
          return { platforms: [platform], engines };
        }),
      );
      if (share === undefined) throw new Error("there is always a platform");
      return [share, ...shares];
    },
    async [Symbol.asyncDispose]() {
      for (const { engine } of opened) await engine[Symbol.asyncDispose]();
    },
  };
}

/** The nodes whose native platform it is; if there are none, those whose daemon can emulate it. */
async function ableNodes(
  nodes: readonly OpenNode[],
  platform: Platform,
  step: StepContext,
): Promise<readonly OpenNode[]> {
  const native = nodes.filter(({ node }) => node.platforms.some((own) => isSamePlatform(own, platform)));
  if (native.length > 0) return native;
  const offers = await Promise.all(nodes.map(({ engine }) => daemonWorkers(engine, step)));
  const emulating = nodes.filter((_, index) =>
    offers[index]?.some(({ platforms }) => platforms.some((offered) => isSamePlatform(offered, platform))),
  );
  if (emulating.length > 0)
    step.log.warn(`no node has platform ${formatPlatform(platform)}: it is emulated (QEMU), which is slow`);
  return emulating;
}

/**
 * Orders nodes by rendezvous hashing (Thaler and Ravishankar, 1998). The order of two nodes for one subject never
 * depends on the other nodes, so adding or removing a node only loses the warm caches of that node's own subjects.
 * Pure.
 * @param identify what tells a node from the others, and stays the same from build to build
 */
export function ranked<T>(nodes: readonly T[], subject: string, identify: (node: T) => string): readonly T[] {
  const weight = (node: T) =>
    createHash("sha256")
      .update(`${subject}\0${identify(node)}`)
      .digest("hex");
  return nodes
    .map((node) => ({ node, weight: weight(node) }))
    .toSorted((a, b) => (a.weight < b.weight ? 1 : -1))
    .map(({ node }) => node);
}

function lacking(platform: Platform, nodes: Nodes): UserError {
  const there = nodes
    .map(({ address, platforms }) => `${address} (${platforms.map(formatPlatform).join(", ")})`)
    .join("; ");
  return new UserError(
    `no node builds for platform ${formatPlatform(platform)}, natively or by emulation: source.nodes names ${there}. Add a node that has it, or install its QEMU emulator (binfmt) on one of them`,
  );
}
