import type { Platform } from "../../image/descriptor.ts";
import { formatExactPlatform, parsePlatform } from "../../image/platform.ts";
import { namedContextKey } from "./context-names.ts";

export interface BuildPlatforms {
  /** What the image is built for; empty when the daemon decides, and it isn't known what it is. */
  readonly targets: readonly Platform[];
  /** The daemon's own, where it is known. */
  readonly own: Platform | undefined;
}

/**
 * For which platforms a Dockerfile needs an image that it is given: those of the build, unless
 * `FROM --platform=$BUILDPLATFORM` says another (Dockerfile reference, "FROM").
 * @param dockerfile undefined when it isn't here to be looked at
 * @param image `$base_image` for a build arg, `base` for a named context, as `namedContextKey` has it
 */
export function wantedPlatforms(
  dockerfile: string | undefined,
  image: string,
  { targets, own }: BuildPlatforms,
): readonly Platform[] {
  const froms = Array.from(
    (dockerfile ?? "").matchAll(
      /^[ \t]*FROM[ \t]+(?:--platform=["']?([^\s"']+)["']?[ \t]+)?["']?([^\s"']+)/gim,
    ),
  ).filter(([, , from = ""]) => imageOf(from) === image);
  if (froms.length === 0) return targets;
  const wanted = froms.flatMap(([, platform]) => {
    if (platform === undefined || /^\$\{?TARGETPLATFORM\}?$/.test(platform)) return targets;
    if (/^\$\{?BUILDPLATFORM\}?$/.test(platform)) return own ?? [];
    // What is made of other args, or is an operating system alone, isn't worked out here: BuildKit has the last word.
    return platformOf(platform) ?? [];
  });
  return [...new Map(wanted.map((platform) => [formatExactPlatform(platform), platform])).values()];
}

/** What FROM names, as `image` has it. */
function imageOf(from: string): string {
  if (from.startsWith("$")) return from.replace(/^\$\{(\w+).*$/, "$$$1");
  try {
    return namedContextKey(from);
  } catch {
    return from;
  }
}

function platformOf(text: string): Platform | undefined {
  try {
    return parsePlatform(text, "FROM --platform");
  } catch {
    return undefined;
  }
}
