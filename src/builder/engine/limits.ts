import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import type { Platform } from "../../image/descriptor.ts";
import { formatPlatform } from "../../image/platform.ts";

/** What a RUN can use in a BuildKit that the step started. It depends on how that BuildKit was started. */
export interface Limits {
  /** Isolated networks: `network: none`. */
  readonly ownNetworks: boolean;
  /** Device nodes, made by mknod(1). */
  readonly deviceNodes: boolean;
  /** 32-bit programs, and programs of other architectures for which the worker's kernel has an emulator. */
  readonly foreignPrograms: boolean;
  /** Whether a full disk is reported as ENOSPC, and not as EIO like a broken disk. */
  readonly tellsFullDisks: boolean;
}

/**
 * gVisor's kernel has no emulators and no networks besides the host's. Files in it are memory that is backed by a
 * file on the disk, so a full disk shows as EIO.
 */
export const gvisorLimits: Limits = {
  ownNetworks: false,
  deviceNodes: true,
  foreignPrograms: false,
  tellsFullDisks: false,
};

/** The parts of a build that its daemon's limits can affect. */
export interface LimitedBuild {
  readonly network: "default" | "none" | "host";
  readonly allow: readonly string[];
  readonly platforms: readonly Platform[];
  /** The worker's own platform. */
  readonly own: Platform;
  /** Undefined if the Dockerfile isn't on this machine. */
  readonly dockerfile: string | undefined;
}

/**
 * Reports before a build which parts of it can't work. `network: none` in the params is refused. Other params
 * only cause warnings, and so does what the Dockerfile uses, as the build may not need that stage.
 * @param limited `where` is how BuildKit runs, such as `in a gVisor sandbox`
 * @throws UserError if the params need an isolated network that isn't available
 */
export function checkEngineLimits(
  limited: { readonly limits: Limits; readonly where: string },
  build: LimitedBuild,
  log: Pick<Log, "warn">,
): void {
  const { limits, where } = limited;
  const { network, allow, platforms, own, dockerfile = "" } = build;
  const hint = "docs/without-privileges.md says where it works";
  if (!limits.ownNetworks) {
    if (network === "none")
      throw new UserError(
        `params: network: none can't be had here, as BuildKit runs ${where}: leave it out, or set "privileged: true" on the resource type (or the task); ${hint}`,
      );
    if (/^[ \t]*RUN[ \t].*--network=none\b/im.test(dockerfile))
      log.warn(`the Dockerfile's RUN --network=none fails here, as BuildKit runs ${where}; ${hint}`);
  }
  if (!limits.deviceNodes && /\bmknod\b(?!.*[ \t]p\b)/.test(dockerfile))
    log.warn(`the Dockerfile's mknod can make no device here, as BuildKit runs ${where}; ${hint}`);
  if (allow.includes("security.insecure") && !(limits.deviceNodes && limits.ownNetworks))
    log.warn(
      `allow: security.insecure gives a RUN what BuildKit has here, as it runs ${where}: no rights on the worker; ${hint}`,
    );
  const foreign = platforms.filter(
    ({ os, architecture }) => os !== own.os || architecture !== own.architecture,
  );
  if (!limits.foreignPrograms && foreign.length > 0)
    log.warn(
      `${foreign.map(formatPlatform).join(", ")}: a RUN for it fails here, as BuildKit runs ${where}, where nothing is emulated; ${hint}`,
    );
}
