import { link, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { buildName } from "../../src/image/build-version.ts";
import { type Digest, hexOf } from "../../src/image/digest.ts";
import { readTree, versionOf } from "../../src/image/image-tree.ts";
import { layoutBlobs, readLayoutIndex } from "../../src/image/layout.ts";
import { encodeBuildIndex } from "../../src/store/build-index.ts";
import { checkout } from "../../test/support/runs/test-step.ts";
import type { Bundle } from "./bundle.ts";
import { onFreshDisk } from "./disk.ts";
import { type BenchImage, benchImage, type Compression, type ImageName } from "./images.ts";
import { manyEntries } from "./many-entries.ts";
import { type Contender, compare, type Result, timed } from "./measure.ts";

export interface RootfsBench {
  readonly image: ImageName;
  readonly compression: Compression;
  readonly rounds: number;
}

/**
 * Unpacks an image's root filesystem: a whole get from a directory store, everything verified, against GNU tar on
 * each layer with nothing verified, umoci, and skopeo followed by umoci. With very many entries these two take minutes.
 */
export async function benchRootfs(
  bundle: Bundle,
  { image, compression, rounds }: RootfsBench,
): Promise<Result> {
  const made = await benchImage(image);
  await using place = await createPrivateFolder("bench-rootfs", join(checkout, ".tools/cache"));
  const stored = await storeImage(made, compression, join(place.path, "store"));
  return await compare(`rootfs ${image} ${compression}`, rounds, [
    ours(bundle, stored),
    tar(stored, compression),
    ...(isMany(image) ? [] : umoci(made, compression)),
  ]);
}

function isMany(image: ImageName): boolean {
  return manyEntries.some((name) => name === image);
}

interface StoredImage {
  /** Of a directory store. */
  readonly directory: string;
  readonly version: Digest;
  /** Files of the layers' blobs, lowest first. */
  readonly layers: readonly string[];
}

/** Makes a directory store that has the image in one compression, as a put leaves it; the blobs are hard links. */
async function storeImage(
  { folder }: BenchImage,
  compression: Compression,
  directory: string,
): Promise<StoredImage> {
  const index = readLayoutIndex(folder);
  const descriptor = index.manifests.find(
    ({ annotations }) => annotations?.["org.opencontainers.image.ref.name"] === compression,
  );
  if (descriptor === undefined) throw new Error(`${folder} has no image in ${compression}`);
  const tree = await readTree(layoutBlobs(folder, folder), descriptor, AbortSignal.any([]));
  const version = versionOf(tree);
  const stored = {
    digest: version,
    targets: [],
    delivery: { unpackRootfs: true, outputOci: false },
    put: undefined,
  };
  const build = join(directory, buildName(stored));
  const blobs = join(build, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const from = join(folder, "blobs/sha256");
  for (const name of await readdir(from)) await link(join(from, name), join(blobs, name));
  await writeFile(join(build, "oci-layout"), await readFile(join(folder, "oci-layout")));
  const targets = [{ name: "", descriptor }] as const;
  await writeFile(
    join(build, "index.json"),
    encodeBuildIndex({
      version: stored,
      targets,
      put: { id: "bench", at: 0, variant: undefined, metadata: [], layers: undefined, record: undefined },
    }),
  );
  const [{ manifest }] = tree.images;
  return { directory, version, layers: manifest.layers.map(({ digest }) => join(blobs, hexOf(digest))) };
}

function ours(bundle: Bundle, { directory, version }: StoredImage): Contender {
  const input = JSON.stringify({
    source: { directory },
    version: { digest: version },
    params: { unpack_rootfs: true, image_tar: false },
  });
  return { name: "get", run: () => onFreshDisk((disk) => timed(bundle.in, [disk], { input })) };
}

function tar({ layers }: StoredImage, compression: Compression): Contender {
  const script = `for layer; do tar --${compression} -xf "$layer" || exit; done`;
  return {
    name: "tar",
    run: () => onFreshDisk((disk) => timed("sh", ["-c", `cd "$0" && ${script}`, disk, ...layers])),
  };
}

/** Debian's umoci reads no zstd, so there skopeo, which would only copy, makes gzip of it first. */
function umoci({ folder }: BenchImage, compression: Compression): Contender[] {
  const image = `${folder}:${compression}`;
  const copy = 'skopeo copy -q --dest-compress-format=gzip "oci:$1" "oci:$0/layout:image"';
  const unpack = 'umoci unpack --image "$0/layout:image" "$0/bundle"';
  const both = {
    name: "skopeo+umoci",
    run: () => onFreshDisk((disk) => timed("sh", ["-c", `${copy} && ${unpack}`, disk, image])),
  };
  if (compression === "zstd") return [both];
  const alone = {
    name: "umoci",
    run: () => onFreshDisk((disk) => timed("umoci", ["unpack", "--image", image, join(disk, "bundle")])),
  };
  return [alone, both];
}
