/**
 * Older ones have known holes: 0.28.1 closed two by which a custom frontend could write outside of the daemon's folder,
 * and a git URL read outside of its repository (GHSA-4c29-8rgm-jvjj, GHSA-4vrq-3vrq-g6gg).
 */
export const buildkitFloor = "0.28.1";

/**
 * Looks at what `buildctl debug info` or `buildkitd --version` say.
 * @returns what is wrong with the version, for after the daemon's name; undefined when it is good, or a build without one
 */
export function oldVersion(said: string): string | undefined {
  const [, version] = /\bv?(\d+\.\d+\.\d+)\b/.exec(said) ?? [];
  // 0.0.0 is what a build without a version says.
  if (version === undefined || version === "0.0.0" || !isOlder(version, buildkitFloor)) return undefined;
  return `is version ${version}, which has known security holes; ${buildkitFloor} or newer is needed`;
}

function isOlder(version: string, floor: string): boolean {
  const parts = version.split(".").map(Number);
  for (const [index, least] of floor.split(".").map(Number).entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part < least;
  }
  return false;
}
