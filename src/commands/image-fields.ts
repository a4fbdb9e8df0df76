import { formatBytes } from "../host/format.ts";
import { configDigestOf, type ImageTree } from "../image/image-tree.ts";
import { formatPlatform } from "../image/platform.ts";

/** One row of what Concourse shows beside a version. */
export interface MetadataField {
  readonly name: string;
  readonly value: string;
}

/** What a person wants to know of an image: which it is, for what, and how large. */
export function imageFields({ top, images, indexes }: ImageTree): MetadataField[] {
  const shown = images.map((image) => {
    const { layers } = image.manifest;
    return {
      platform: formatPlatform(image.platform),
      config: configDigestOf(image),
      layers: String(layers.length),
      size: formatBytes(layers.reduce((total, { size }) => total + size, 0)),
    };
  });
  const perPlatform = (field: "config" | "layers" | "size") =>
    shown
      .map((image) => (shown.length === 1 ? image[field] : `${image.platform}: ${image[field]}`))
      .join(", ");
  return [
    { name: indexes.length > 0 ? "index digest" : "manifest digest", value: top.digest },
    { name: "config digest", value: perPlatform("config") },
    { name: "platforms", value: shown.map(({ platform }) => platform).join(", ") },
    { name: "size", value: perPlatform("size") },
    { name: "layers", value: perPlatform("layers") },
  ];
}
