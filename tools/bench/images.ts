import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import { access, mkdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip, createZstdCompress } from "node:zlib";
import { pack } from "tar-stream";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Descriptor } from "../../src/image/descriptor.ts";
import type { DiffId } from "../../src/image/digest.ts";
import { hexOf } from "../../src/image/digest.ts";
import { mediaTypes } from "../../src/image/media-types.ts";
import { TarReader } from "../../src/image/tar/reader.ts";
import { debianRoot } from "../../test/support/images/debian.ts";
import { nativePlatform, writeDocument, writeIndex } from "../../test/support/images/image-writer.ts";
import { withLock } from "../../test/support/runs/lock.ts";
import { randomFrom } from "../../test/support/runs/random.ts";
import { checkout } from "../../test/support/runs/test-step.ts";
import { digestStream } from "./digest-stream.ts";
import { archivesOfMany, type ManyEntries } from "./many-entries.ts";

export const compressions = ["gzip", "zstd"] as const;
export type Compression = (typeof compressions)[number];

/** `debian`: seven layers of a Debian root; `small`: 60,000 files of some KB; `large`: 1.5 GB in six files. */
export const imageNames = ["debian", "small", "large"] as const;
export type ImageName = (typeof imageNames)[number] | ManyEntries;

/** An OCI layout whose `index.json` names the image in each compression, by the compression's name. */
export interface BenchImage {
  readonly name: ImageName;
  readonly folder: string;
}

/** Raise it when what an image holds changes. */
const edition = 1;
const time = new Date("2024-01-01T00:00:00Z");
const layersOfDebian = 7;
/** Packages of many small files, of deep folders and of large programs. */
const packages = ["build-essential", "git", "perl", "python3", "golang", "vim", "fonts-noto-core"];

/** Makes an image, or finds the one that was made before beside the tools. */
export async function benchImage(name: ImageName): Promise<BenchImage> {
  const cache = join(checkout, ".tools/cache");
  const folder = join(cache, `bench-${name}-${edition}`);
  await mkdir(cache, { recursive: true });
  await withLock(join(cache, `bench-${name}.lock`), async () => {
    if (await exists(folder)) return;
    await using work = await createPrivateFolder("bench", cache);
    const layout = join(work.path, "layout");
    await mkdir(join(layout, "blobs/sha256"), { recursive: true });
    await writeImages(layout, layersOf(name));
    await rename(layout, folder);
  });
  return { name, folder };
}

async function* layersOf(name: ImageName): AsyncGenerator<Readable> {
  switch (name) {
    case "debian":
      yield* cut(await debianRoot(packages), layersOfDebian);
      return;
    case "small":
      yield smallFiles();
      return;
    case "large":
      yield largeFiles();
      return;
    case "folders":
    case "files":
    case "links":
    case "whiteouts":
    case "layers":
    case "names":
    case "paths":
      for (const archive of archivesOfMany(name)) yield Readable.from(archive, { objectMode: false });
  }
}

/** Cuts an archive between members into several of about the same length. */
async function* cut(file: string, count: number): AsyncGenerator<Readable> {
  const { size } = await stat(file);
  const starts: number[] = [];
  const reader = new TarReader({
    entry: ({ offset }) => void (offset >= (size / count) * starts.length && starts.push(offset)),
    content: () => {},
    close: () => {},
  });
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) reader.write(chunk);
  reader.end();
  for (const [index, start] of starts.entries()) {
    const next = starts[index + 1];
    yield createReadStream(file, { start, ...(next === undefined ? {} : { end: next - 1 }) });
  }
}

function smallFiles(): Readable {
  const random = randomFrom(1);
  const text = words(random, 1 << 20);
  const archive = pack();
  const write = async () => {
    for (let folder = 0; folder < 600; folder++) {
      const path = `opt/modules/${folder % 30}/package-${folder}`;
      archive.entry({ name: `${path}/`, type: "directory", mode: 0o755, mtime: time });
      for (let file = 0; file < 100; file++) {
        const length = 200 + Math.floor(random() ** 3 * 16_000);
        const start = Math.floor(random() * (text.length - length));
        archive.entry(
          { name: `${path}/file-${file}.js`, mode: 0o644, mtime: time },
          text.subarray(start, start + length),
        );
      }
    }
    archive.finalize();
  };
  return generated(archive, write);
}

function largeFiles(): Readable {
  const random = randomFrom(2);
  const blocks = Array.from({ length: 128 }, () => mixed(random, 1 << 20));
  const archive = pack();
  const write = async () => {
    for (let file = 0; file < 6; file++) {
      const size = 250 << 20;
      const entry = archive.entry({ name: `model-${file}.bin`, size, mode: 0o644, mtime: time });
      for (let at = 0; at < size; at += 1 << 20) {
        const block = blocks[Math.floor(random() * blocks.length)] as Buffer;
        if (!entry.write(block)) await once(entry, "drain");
      }
      const ended = once(entry, "finish");
      entry.end(Buffer.alloc(0));
      await ended;
    }
    archive.finalize();
  };
  return generated(archive, write);
}

/** The archive as a stream of Node's. */
function generated(archive: ReturnType<typeof pack>, write: () => Promise<void>): Readable {
  const out = new PassThrough({ highWaterMark: 1 << 20 });
  archive.on("error", (error) => out.destroy(error));
  const copy = async () => {
    for await (const chunk of archive) {
      if (!out.write(chunk)) await once(out, "drain");
    }
    out.end();
  };
  Promise.all([copy(), write()]).catch((error: unknown) => out.destroy(error as Error));
  return out;
}

/** Bytes that are about as compressible as programs are, the same for the same seed. */
export function mixedBytes(seed: number, length: number): Buffer {
  return mixed(randomFrom(seed), length);
}

/** About as compressible as programs are: text, with stretches of noise. */
function mixed(random: () => number, length: number): Buffer {
  const bytes = words(random, length);
  for (let at = 0; at < length; at += 512) {
    if (random() < 0.3) for (let index = at; index < at + 512; index++) bytes[index] = random() * 256;
  }
  return bytes;
}

function words(random: () => number, length: number): Buffer {
  const known = Array.from({ length: 2000 }, () =>
    Array.from({ length: 2 + Math.floor(random() * 9) }, () =>
      String.fromCharCode(97 + Math.floor(random() * 26)),
    ).join(""),
  );
  const bytes = Buffer.alloc(length, " ");
  for (let at = 0; at < length; ) {
    at += bytes.write(known[Math.floor(random() ** 2 * known.length)] as string, at, "latin1") + 1;
  }
  return bytes;
}

/** Writes one image for each compression, and the layout's index over them. */
async function writeImages(layout: string, layers: AsyncIterable<Readable>): Promise<void> {
  const made: { readonly diffId: DiffId; readonly blobs: readonly Descriptor[] }[] = [];
  for await (const plain of layers) made.push(await writeLayer(layout, plain));
  const config = await writeDocument(layout, mediaTypes.ociConfig, {
    ...nativePlatform,
    config: {},
    rootfs: { type: "layers", diff_ids: made.map(({ diffId }) => diffId) },
  });
  const manifests: Descriptor[] = [];
  for (const [index, compression] of compressions.entries()) {
    const mediaType = mediaTypes.ociManifest;
    const blobs = made.map((layer) => layer.blobs[index]);
    const document = { schemaVersion: 2, mediaType, config, layers: blobs };
    const annotations = { "org.opencontainers.image.ref.name": compression };
    manifests.push({ ...(await writeDocument(layout, mediaType, document)), annotations });
  }
  await writeIndex(layout, manifests);
}

async function writeLayer(layout: string, plain: Readable) {
  const whole = digestStream();
  const copies = compressions.map(() => new PassThrough({ highWaterMark: 1 << 20 }));
  const spread = async (bytes: AsyncIterable<Buffer>) => {
    for await (const chunk of bytes) {
      for (const copy of copies) if (!copy.write(chunk)) await once(copy, "drain");
    }
    for (const copy of copies) copy.end();
  };
  const [blobs] = await Promise.all([
    Promise.all(
      compressions.map((compression, index) => writeBlob(layout, compression, copies[index] as Readable)),
    ),
    pipeline(plain, whole.stream, spread),
  ]);
  return { diffId: whole.result().digest as DiffId, blobs };
}

async function writeBlob(layout: string, compression: Compression, plain: Readable): Promise<Descriptor> {
  const file = join(layout, `.${compression}`);
  const compressor = compression === "gzip" ? createGzip({ level: 6 }) : createZstdCompress();
  const packed = digestStream();
  await pipeline(plain, compressor, packed.stream, createWriteStream(file));
  const { digest, size } = packed.result();
  await rename(file, join(layout, "blobs/sha256", hexOf(digest)));
  return {
    mediaType: compression === "gzip" ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd,
    digest,
    size,
  };
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
