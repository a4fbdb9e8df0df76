/**
 * Older versions have known security holes. 0.31.2 fixed CVE-2026-15788, -15789, -15791, -15792 and -15793; 0.31.1
 * fixed GHSA-7236-3392-c5c6 and GHSA-72x6-4j93-7w86.
 */
export const buildkitFloor = "0.31.2";

/**
 * The oldest safe version of a release series (its first two numbers), for series that got fixes of their own. In
 * older versions a malicious container can break out (CVE-2025-31133, -52565, -52881). 1.2.8, 1.3.3 and 1.4.0-rc.3 fixed
 * that.
 */
const runcFloors: Readonly<Record<string, string>> = { "1.2": "1.2.8" };
const runcFloor = "1.3.3";
const oldRuncCandidate = /^1\.4\.0-rc\.[12]\b/;

/**
 * Checks the output of `buildctl debug info` or `buildkitd --version`.
 * @returns what is wrong with the version, to be put after the daemon's name; undefined if the version is new
 * enough or the build has none
 */
export function oldVersion(said: string): string | undefined {
  const version = versionIn(said);
  if (version === undefined || !isOlder(version, buildkitFloor)) return undefined;
  return `is version ${version}, which has known security holes; ${buildkitFloor} or newer is needed`;
}

/**
 * Checks the output of `runc --version`.
 * @returns what is wrong with the version, to be put after the program's name; undefined if the version is new
 * enough or the runtime isn't runc
 */
export function oldRunc(said: string): string | undefined {
  const shown = runcVersion(said);
  const [version] = /^\d+\.\d+\.\d+/.exec(shown ?? "") ?? [];
  if (shown === undefined || version === undefined) return undefined;
  const floor = runcFloors[version.split(".", 2).join(".")] ?? runcFloor;
  if (!isOlder(version, floor) && !oldRuncCandidate.test(shown)) return undefined;
  return `is version ${shown}, and up to 1.2.7, 1.3.2 and 1.4.0-rc.2 a RUN can break out of its container (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881). A distribution may have patched an older version, but its number doesn't show it`;
}

/** The whole version in the output of `runc --version`, such as `1.4.0-rc.1`. Undefined if the runtime isn't runc. */
export function runcVersion(said: string): string | undefined {
  return /^runc version (\d+\.\d+\.\d+\S*)/m.exec(said)?.[1];
}

/** The version in the output of `buildctl debug info` or `buildkitd --version`; undefined for a build without one. */
export function versionIn(said: string): string | undefined {
  const version = /\bv?(\d+\.\d+\.\d+)\b/.exec(said)?.[1];
  // A build without a version reports 0.0.0.
  return version === "0.0.0" ? undefined : version;
}

function isOlder(version: string, floor: string): boolean {
  const parts = version.split(".").map(Number);
  for (const [index, least] of floor.split(".").map(Number).entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part < least;
  }
  return false;
}
