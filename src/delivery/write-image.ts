import { formatBytes } from "../host/format.ts";
import { reportProgress } from "../host/progress.ts";
import type { StepContext } from "../host/step-context.ts";
import { sum } from "../host/sum.ts";
import type { NearBlobs } from "../image/arriving-blob.ts";
import type { CheckBlob } from "../image/bring-checked.ts";
import type { ImageTree } from "../image/image-tree.ts";
import { layoutBlobs } from "../image/layout.ts";
import { writeLayout } from "../image/layout-writer.ts";
import type { Reference } from "../image/reference.ts";
import { LayerProver } from "../rootfs/prove-layers.ts";
import type { DecidedTarget, RegistryPlace } from "./target-content.ts";

/**
 * Writes the image itself, if it is delivered in this form: `image.tar`, or `image`, an OCI layout.
 * @returns its layers in the written files
 * @throws UserError if the image doesn't match its digests, or a layer doesn't match its diff ID. It isn't
 * compared with its diff ID if all layers are proven
 */
export async function writeImage(
  { image, place, step }: DecidedTarget,
  form: "image.tar" | "image",
  path: string,
): Promise<NearBlobs | undefined> {
  if (image?.form !== form) return undefined;
  const { tree, blobs, layersAreProven, described, unpackRootfs } = image;
  // Unpacking checks the diff IDs of the described image.
  const unchecked = unpackRootfs ? tree.images.filter((each) => each !== described) : tree.images;
  await using prover = new LayerProver(layersAreProven ? [] : unchecked, step);
  const check: CheckBlob = (blob, where, signal) => prover.check(blob, where, signal);
  const common = { blobs, tags: namesOf(place), check, signal: step.signal };
  if (form === "image") {
    await reported("image/", tree, step, (onBytes) =>
      writeLayout({ ...common, tree, folder: path, onBytes }),
    );
    return layoutBlobs(path);
  }
  const [only] = tree.images;
  const { writeImageTar } = await import("./image-tar-writer.ts");
  return await reported("image.tar", tree, step, (onBytes) =>
    writeImageTar({ ...common, image: only, file: path, onBytes }),
  );
}

function namesOf(place: RegistryPlace | undefined): readonly Reference[] {
  return place?.tag === undefined ? [] : [{ ...place.repository, tag: place.tag, digest: undefined }];
}

/** Writes an image, and logs the progress if that takes long. */
async function reported<T>(
  what: string,
  { images }: ImageTree,
  { log, trace }: StepContext,
  write: (onBytes: (bytes: number) => void) => Promise<T>,
): Promise<T> {
  const layers = new Map(
    images.flatMap(({ manifest }) => manifest.layers).map((each) => [each.digest, each]),
  );
  const total = sum([...layers.values()].map(({ size }) => size));
  let done = 0;
  using progress = reportProgress(
    log,
    () => `writing ${what}: ${formatBytes(done)} of ${formatBytes(total)}`,
  );
  const result = await trace(`write ${what}`, () =>
    write((bytes) => {
      done += bytes;
    }),
  );
  if (progress.spoke()) log.line(`wrote ${what}: ${formatBytes(done)}`);
  return result;
}
