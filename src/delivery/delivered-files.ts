import { writeSmallFile } from "../host/atomic-write.ts";
import type { NearBlobs } from "../image/arriving-blob.ts";
import { formatReference, formatRepository } from "../image/reference.ts";
import { imageLabels, imageMetadata } from "./metadata.ts";
import type { DecidedTarget } from "./target-content.ts";

/** A file or folder of a target's delivery. */
interface DeliveredFile {
  readonly name: string;
  /**
   * Writes it to `path`, if it is part of this delivery.
   * @param near the layers on this disk, if an earlier file of the delivery has brought them here
   * @returns the layers on this disk, if this file has brought them here
   */
  readonly write: (
    target: DecidedTarget,
    path: string,
    near: NearBlobs | undefined,
  ) => Promise<NearBlobs | undefined>;
}

/** Everything that a target's delivery can contain, in the order in which it is written. */
export const deliveredFiles: readonly DeliveredFile[] = [
  imageFile("image.tar"),
  imageFile("image"),
  textFile("digest", ({ digest }) => digest),
  textFile(
    "reference",
    ({ place, top }) => place && formatReference({ ...place.repository, tag: undefined, digest: top }),
  ),
  textFile("repository", ({ place }) => place && formatRepository(place.repository)),
  textFile("tag", ({ place }) => place?.tag),
  textFile(
    "metadata.json",
    ({ image }) => image?.described && JSON.stringify(imageMetadata(image.described.config)),
  ),
  textFile(
    "labels.json",
    ({ image }) => image?.described && JSON.stringify(imageLabels(image.described.config)),
  ),
  textFile("build.json", ({ record }) => record),
  {
    name: "rootfs",
    async write(...rootfs) {
      const { writeRootfs } = await import("./write-rootfs.ts");
      await writeRootfs(...rootfs);
      return undefined;
    },
  },
];

/** The names of {@link deliveredFiles}. The folders of additional targets are beside them. */
export const deliveredNames: readonly string[] = deliveredFiles.map(({ name }) => name);

/** The image itself. What writes it is only loaded for that: a put needs nothing but the names of this table. */
function imageFile(name: "image.tar" | "image"): DeliveredFile {
  return {
    name,
    async write(target, path) {
      const { writeImage } = await import("./write-image.ts");
      return writeImage(target, name, path);
    },
  };
}

/** A file without a newline at its end, like those of the registry-image resource. */
function textFile(name: string, text: (target: DecidedTarget) => string | undefined): DeliveredFile {
  return {
    name,
    async write(target, path) {
      const written = text(target);
      if (written !== undefined) await writeSmallFile(path, written);
      return undefined;
    },
  };
}
