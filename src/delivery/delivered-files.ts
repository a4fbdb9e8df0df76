import { writeSmallFile } from "../host/atomic-write.ts";
import type { NearBlobs } from "../image/arriving-blob.ts";
import { formatReference, formatRepository } from "../image/reference.ts";
import { imageLabels, imageMetadata } from "./metadata.ts";
import type { DecidedTarget } from "./target-content.ts";
import type { AtHand } from "./write-rootfs.ts";

/** A file or folder of a target's delivery. `write` writes it to `path`, if it is part of this delivery. */
interface DeliveredFile<Needed extends readonly unknown[], Written> {
  readonly name: string;
  readonly write: (target: DecidedTarget, path: string, ...needed: Needed) => Promise<Written>;
}

/** The image itself, which is written first. Returns the layers on this disk, if this file has brought them here. */
export const imageFiles: readonly DeliveredFile<[], NearBlobs | undefined>[] = [
  imageFile("image.tar"),
  imageFile("image"),
];

/** Everything else that a target's delivery can contain. */
export const otherFiles: readonly DeliveredFile<[AtHand], void>[] = [
  {
    name: "rootfs",
    async write(target, path, near) {
      if (target.image === undefined) return;
      const { writeRootfs } = await import("./write-rootfs.ts");
      await writeRootfs(target, path, near);
    },
  },
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
];

/** The names of everything in a delivery. The folders of additional targets are beside them. */
export const deliveredNames: readonly string[] = [...imageFiles, ...otherFiles].map(({ name }) => name);

/** What writes the image is only loaded for that: others need nothing but the names of these tables. */
function imageFile(name: "image.tar" | "image"): DeliveredFile<[], NearBlobs | undefined> {
  return {
    name,
    async write(target, path) {
      if (target.image === undefined) return undefined;
      const { writeImage } = await import("./write-image.ts");
      return writeImage(target, name, path);
    },
  };
}

/** A file without a newline at its end, like those of the registry-image resource. */
function textFile(
  name: string,
  text: (target: DecidedTarget) => string | undefined,
): DeliveredFile<[unknown], void> {
  return {
    name,
    async write(target, path) {
      const written = text(target);
      if (written !== undefined) await writeSmallFile(path, written);
    },
  };
}
