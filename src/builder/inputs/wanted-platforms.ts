import { orNone } from "../../host/or-none.ts";
import type { Platform } from "../../image/descriptor.ts";
import { formatExactPlatform, parsePlatform } from "../../image/platform.ts";
import { namedContextKey } from "./context-names.ts";

export interface BuildPlatforms {
  /** The platforms that the image is built for. Empty if the daemon decides and its platform isn't known. */
  readonly targets: readonly Platform[];
  /** The daemon's own platform, if known. */
  readonly own: Platform | undefined;
}

/**
 * The platforms for which a Dockerfile needs an image of the inputs: those of the build, unless its `FROM` has
 * another, such as `FROM --platform=$BUILDPLATFORM` (Dockerfile reference, "FROM").
 * @param dockerfile undefined if its text isn't available here
 * @param image `$base_image` for a build arg, `base` for a named context (by its `namedContextKey`)
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
    // A platform that contains other args, or is only an operating system, isn't resolved here: BuildKit decides.
    return orNone(() => parsePlatform(platform, "FROM --platform")) ?? [];
  });
  return [...new Map(wanted.map((platform) => [formatExactPlatform(platform), platform])).values()];
}

/** What FROM names, in the same form as `image`. */
function imageOf(from: string): string {
  if (from.startsWith("$")) return from.replace(/^\$\{(\w+).*$/, "$$$1");
  return orNone(() => namedContextKey(from)) ?? from;
}
