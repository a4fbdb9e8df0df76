import { UserError } from "../../host/errors.ts";
import type { Log } from "../../host/log.ts";
import type { Platform } from "../../image/descriptor.ts";
import { formatPlatform } from "../../image/platform.ts";

/** What RUN can have of a BuildKit that the step started; what it lacks depends on how that was started. */
export interface Limits {
  /** Networks that are cut off: `network: none`. */
  readonly ownNetworks: boolean;
  /** Device nodes, made by mknod(1). */
  readonly deviceNodes: boolean;
  /** Programs of other architectures, where the worker's kernel has an emulator for them, and 32-bit ones. */
  readonly foreignPrograms: boolean;
  /** Whether a full disk shows as ENOSPC, and not as the EIO of a disk that is broken. */
  readonly tellsFullDisks: boolean;
}

/** Its kernel has neither networks without the host's nor emulators, and its memory is what the disk holds. */
export const gvisorLimits: Limits = {
  ownNetworks: false,
  deviceNodes: true,
  foreignPrograms: false,
  tellsFullDisks: false,
};

/** What of a build its limits may stand in the way of. */
export interface LimitedBuild {
  readonly network: "default" | "none" | "host";
  readonly allow: readonly string[];
  readonly platforms: readonly Platform[];
  /** The worker's. */
  readonly own: Platform;
  /** Undefined when it lies elsewhere. */
  readonly dockerfile: string | undefined;
}

/**
 * Says before a build what of it can't work: a param that can't be had is refused, and what only stands in the
 * Dockerfile, perhaps in a stage that isn't built, is warned of.
 * @param limited `where` says how BuildKit runs, as in `in a gVisor sandbox`
 * @throws UserError for a param
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
