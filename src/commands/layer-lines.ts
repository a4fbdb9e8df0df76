import { formatBytes } from "../host/format.ts";
import { sum } from "../host/sum.ts";
import type { ImageTree } from "../image/image-tree.ts";
import { formatPlatform } from "../image/platform.ts";

/** How many layers a line of the log lists by size. */
const namedLayers = 8;

/** A line for each platform with the compressed sizes of its layers, largest first. Pure. */
export function layerLines({ images }: Pick<ImageTree, "images">): string[] {
  return images.map(({ manifest, platform }) => {
    const sizes = manifest.layers.map(({ size }) => size).toSorted((a, b) => b - a);
    const others = sizes.slice(namedLayers);
    const rest = others.length === 0 ? [] : [`${others.length} more of ${formatBytes(sum(others))}`];
    const named = [...sizes.slice(0, namedLayers).map(formatBytes), ...rest].join(", ");
    const where = images.length === 1 ? "" : ` for ${formatPlatform(platform)}`;
    if (sizes.length === 1) return `1 layer${where}, ${named}`;
    return `${sizes.length} layers${where}, ${formatBytes(sum(sizes))}: ${named}`;
  });
}
