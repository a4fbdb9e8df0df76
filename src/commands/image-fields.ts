import { formatBytes } from "../host/format.ts";
import { formatPlatform } from "../image/platform.ts";
import type { ImageTree } from "../image/resolve.ts";

/** One row of what Concourse shows beside a version. */
export interface MetadataField {
  readonly name: string;
  readonly value: string;
}

/** What a person wants to know of an image: which it is, for what, and how large. */
export function imageFields({ top, images }: ImageTree): MetadataField[] {
  const shown = images.map(({ platform, manifest: { layers } }) => ({
    platform: formatPlatform(platform),
    layers: String(layers.length),
    size: formatBytes(layers.reduce((total, { size }) => total + size, 0)),
  }));
  const perPlatform = (field: "layers" | "size") =>
    shown
      .map((image) => (shown.length === 1 ? image[field] : `${image.platform}: ${image[field]}`))
      .join(", ");
  return [
    { name: "manifest digest", value: top.digest },
    { name: "platforms", value: shown.map(({ platform }) => platform).join(", ") },
    { name: "size", value: perPlatform("size") },
    { name: "layers", value: perPlatform("layers") },
  ];
}
