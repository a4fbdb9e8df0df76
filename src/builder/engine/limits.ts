import type { AuthorNames, NamedParam } from "../../host/author-names.ts";
import { UserError } from "../../host/errors.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Platform } from "../../image/descriptor.ts";
import { formatPlatform } from "../../image/platform.ts";
import type { BuildOptions } from "../plan/build-options.ts";

/** What a RUN can use in a BuildKit that the step started. It depends on how that BuildKit was started. */
export interface Limits {
  /** Isolated networks: `network: none`. */
  readonly ownNetworks: boolean;
  /** Device nodes, made by mknod(1). */
  readonly deviceNodes: boolean;
  /** Raw sockets, as ping(1) uses them, and listening on ports below 1024. */
  readonly networkRights: boolean;
  /** 32-bit programs, and programs of other architectures for which the worker's kernel has an emulator. */
  readonly foreignPrograms: boolean;
  /** Control groups (cgroups(7)), by which `options` limit what a RUN may use. */
  readonly controlGroups: boolean;
  /** A host name of a RUN's own: `options: {hostname: …}`. */
  readonly hostNames: boolean;
  /** Whether a full disk is reported as ENOSPC, and not as EIO like a broken disk. */
  readonly tellsFullDisks: boolean;
}

/**
 * gVisor's kernel has no emulators and no networks besides the host's, and its control groups limit nothing. Files in it
 * are memory that is backed by a file on the disk, so a full disk shows as EIO.
 */
export const gvisorLimits: Limits = {
  ownNetworks: false,
  deviceNodes: true,
  networkRights: true,
  foreignPrograms: false,
  controlGroups: false,
  hostNames: true,
  tellsFullDisks: false,
};

/** How a BuildKit that the step started runs, and what a RUN can't use in it. */
export interface LimitedEngine {
  readonly limits: Limits;
  /** How it runs, such as `in a gVisor sandbox`. */
  readonly where: string;
}

const hint = "docs/without-privileges.md says where it works";

/** The params that have no effect in a BuildKit that lacks something. */
export type LimitedParams = Pick<BuildOptions, "allow" | "frontendOptions">;

type VainPath = readonly [NamedParam, ...string[]];

/** A param that has no effect. */
export interface VainParam {
  /** Names that lead to it: `options`, `memory`. */
  readonly path: VainPath;
  /** The whole message. */
  readonly message: string;
}

/** What a param needs of BuildKit to have an effect, and what is said of it where any of that is missing. */
interface Need {
  readonly of: readonly (keyof Limits)[];
  readonly paths: (params: LimitedParams) => readonly VainPath[];
  readonly says: (where: string) => string;
}

/** Paths of those options that are given. */
const given =
  (names: readonly string[]): Need["paths"] =>
  ({ frontendOptions }) =>
    names.filter((name) => name in frontendOptions).map((name) => ["options", name]);

const needs: readonly Need[] = [
  {
    of: ["deviceNodes", "ownNetworks"],
    paths: ({ allow }) => (allow.includes("security.insecure") ? [["allow"]] : []),
    says: (where) =>
      `security.insecure gives a RUN no rights on the worker here, because BuildKit itself has none: it runs ${where}`,
  },
  {
    of: ["controlGroups"],
    paths: given([
      "memory",
      "memswap",
      "cpushares",
      "cpuquota",
      "cpuperiod",
      "cpusetcpus",
      "cpusetmems",
      "cgroup-parent",
    ]),
    says: (where) => `it has no effect here, because BuildKit runs ${where}, where it has no control groups`,
  },
  {
    of: ["hostNames"],
    paths: given(["hostname"]),
    says: (where) =>
      `it has no effect here, because BuildKit runs ${where}, where no RUN may set a host name`,
  },
];

/** Which params have no effect in a BuildKit that runs so. Pure. */
export function vainParams(
  { limits, where }: LimitedEngine,
  params: LimitedParams,
  names: AuthorNames,
): readonly VainParam[] {
  return needs
    .filter(({ of }) => !of.every((feature) => limits[feature]))
    .flatMap(({ paths, says }) =>
      paths(params).map((path) => ({ path, message: `${names.param(...path)}: ${says(where)}; ${hint}` })),
    );
}

/** The parts of a build that its daemon's limits can affect. */
export interface LimitedBuild extends LimitedParams {
  readonly network: "default" | "none" | "host";
  readonly platforms: readonly Platform[];
  /** The worker's own platform. */
  readonly own: Platform;
  /** Undefined if the Dockerfile isn't on this machine. */
  readonly dockerfile: string | undefined;
}

/**
 * Reports before a build which parts of it can't work. `network: none` in the params is refused. Other params
 * only cause warnings, and so does what the Dockerfile uses, as the build may not need that stage.
 * @throws UserError if the params need an isolated network that isn't available
 */
export function checkEngineLimits(
  { limits, where }: LimitedEngine,
  build: LimitedBuild,
  { log, names: author }: Pick<StepContext, "log" | "names">,
): void {
  const { network, platforms, own } = build;
  const dockerfile = (build.dockerfile ?? "").replace(/^[ \t]*#.*$/gm, "");
  if (!limits.ownNetworks) {
    if (network === "none")
      throw new UserError(
        `params: network: none isn't possible here, because BuildKit runs ${where}: leave it out, or set "privileged: true" on the resource type (or the task); ${hint}`,
      );
    if (/^[ \t]*RUN[ \t].*--network=none\b/im.test(dockerfile))
      log.warn(`the Dockerfile's RUN --network=none fails here, because BuildKit runs ${where}; ${hint}`);
  }
  if (!limits.deviceNodes && /\bmknod\b(?!.*[ \t]p\b)/.test(dockerfile))
    log.warn(`the Dockerfile's mknod can't make a device here, because BuildKit runs ${where}; ${hint}`);
  for (const { message } of vainParams({ limits, where }, build, author)) log.warn(message);
  const foreign = platforms.filter(
    ({ os, architecture }) => os !== own.os || architecture !== own.architecture,
  );
  if (!limits.foreignPrograms && foreign.length > 0)
    log.warn(
      `${foreign.map(formatPlatform).join(", ")}: a RUN for it fails here, because BuildKit runs ${where}, where nothing is emulated; ${hint}`,
    );
}

/**
 * The limit that may be behind a step's failure. The step and runc don't name it. Undefined if none is. Pure.
 * @param failure the end of the step's output, and BuildKit's words
 */
export function limitBehind(
  { limits, where }: LimitedEngine,
  failure: string,
  names: AuthorNames,
): string | undefined {
  if (!limits.ownNetworks && /error during container init: protocol not supported/.test(failure))
    return `because BuildKit runs ${where}, a RUN can't have a network of its own here; ${hint}`;
  if (!limits.foreignPrograms && /exec format error/i.test(failure))
    return `because BuildKit runs ${where}, 32-bit programs and those of other architectures don't run here; ${hint}`;
  // iputils' ping names the type of the socket a line before it says why.
  const refused =
    /(raw socket|SOCK_RAW)[\s\S]*operation not permitted|\bping: permission denied|\bbind\b.*permission denied/i;
  if (!limits.networkRights && refused.test(failure))
    return `because BuildKit runs ${where}, raw sockets (as of ping) and ports below 1024 can't be opened here; ${hint}`;
  const [, set] = /\bwrite \/sys\/fs\/cgroup\/\S*\bcpuset\.(cpus|mems): /.exec(failure) ?? [];
  if (set !== undefined)
    return `${names.param("options", `cpuset${set}`)} names ${set === "cpus" ? "processors" : "memory nodes"} that the machine of BuildKit, or its container, doesn't have: name others, or leave it out`;
  // runc finds no file for the limit, because its control group has no such controller.
  if (/error setting cgroup config|cannot enter cgroupv2/.test(failure))
    return `because BuildKit runs ${where}, and this container's control groups can't limit a RUN: leave memory and the like out of ${names.param("options")}; ${hint}`;
  if (!limits.deviceNodes && /\bmknod\b.*operation not permitted/i.test(failure))
    return `because BuildKit runs ${where}, no device node can be made here; ${hint}`;
  return undefined;
}
