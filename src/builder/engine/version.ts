/**
 * Older ones have known holes: 0.31.2 closed those of CVE-2026-15788, -15789, -15791, -15792 and -15793, and 0.31.1
 * those of GHSA-7236-3392-c5c6 and GHSA-72x6-4j93-7w86.
 */
export const buildkitFloor = "0.31.2";

/**
 * By the first two numbers of a version, where fixes came to several: lets a container out that was made for it (CVE-2025-31133,
 * -52565, -52881). 1.2.8 and 1.3.3 closed that.
 */
const runcFloors: Readonly<Record<string, string>> = { "1.2": "1.2.8" };
const runcFloor = "1.3.3";

/**
 * Looks at what `buildctl debug info` or `buildkitd --version` say.
 * @returns what is wrong with the version, for after the daemon's name; undefined when it is good, or a build without one
 */
export function oldVersion(said: string): string | undefined {
  const version = versionIn(said);
  if (version === undefined || !isOlder(version, buildkitFloor)) return undefined;
  return `is version ${version}, which has known security holes; ${buildkitFloor} or newer is needed`;
}

/**
 * Looks at what `runc --version` says.
 * @returns what is wrong with it, for after its name; undefined when it is good, or another runtime than runc
 */
export function oldRunc(said: string): string | undefined {
  const [, shown, version] = /^runc version ((\d+\.\d+\.\d+)\S*)/m.exec(said) ?? [];
  if (shown === undefined || version === undefined) return undefined;
  const floor = runcFloors[version.split(".", 2).join(".")] ?? runcFloor;
  if (!isOlder(version, floor)) return undefined;
  return `is version ${shown}, and up to 1.2.7 and 1.3.2 a RUN can break out of its container (CVE-2025-31133, CVE-2025-52565, CVE-2025-52881). A distribution may have mended an older version, but its number doesn't tell`;
}

/** The version in what `buildctl debug info` or `buildkitd --version` say; undefined for a build without one. */
export function versionIn(said: string): string | undefined {
  const version = /\bv?(\d+\.\d+\.\d+)\b/.exec(said)?.[1];
  // 0.0.0 is what a build without a version says.
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
