import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createZstdCompress, zstdDecompressSync } from "node:zlib";
import { execa } from "execa";
import { z } from "zod";
import { blockSize, endOfArchive, rawTar } from "../tar/raw-tar.ts";

/** A tar archive with one file of zeros. */
export function zerosTar(path: string, size: number): Readable {
  const zeros = Buffer.alloc(1e6);
  return Readable.from(
    (function* () {
      yield rawTar([{ flag: "0", path, size }]).subarray(0, -endOfArchive.length);
      for (let left = size; left > 0; left -= zeros.length)
        yield zeros.subarray(0, Math.min(left, zeros.length));
      yield Buffer.alloc(-size & (blockSize - 1));
      yield endOfArchive;
    })(),
  );
}

const CacheManifest = z.looseObject({
  layers: z.array(
    z.looseObject({ digest: z.string(), size: z.number(), annotations: z.record(z.string(), z.string()) }),
  ),
  config: z.looseObject({ digest: z.string(), size: z.number() }),
});

/** What takes the place of layers of a cache. */
export interface ForgedLayer {
  /** Layers are replaced that have a member of this name. */
  readonly name: string;
  /** A tar archive. */
  readonly layer: () => Readable;
}

/** Replaces layers of a layer cache in a directory, as someone can who may write it: all digests are right. */
export async function forgeLayers(cache: string, { name, layer }: ForgedLayer): Promise<void> {
  const blob = (digest: string) => join(cache, "blobs", digest.replace(":", "/"));
  const write = async (bytes: Buffer) => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    await writeFile(blob(digest), bytes);
    return { digest, size: bytes.length };
  };
  const index = join(cache, "index.json");
  const { manifests } = z
    .looseObject({ manifests: z.array(z.looseObject({ digest: z.string(), size: z.number() })) })
    .parse(JSON.parse(await readFile(index, "utf8")));
  const manifest = CacheManifest.parse(JSON.parse(await readFile(blob(manifests[0]?.digest ?? ""), "utf8")));
  const diff = createHash("sha256");
  const compressed: Buffer[] = [];
  await pipeline(
    layer(),
    async function* (chunks: AsyncIterable<Buffer>) {
      for await (const chunk of chunks) {
        diff.update(chunk);
        yield chunk;
      }
    },
    createZstdCompress(),
    async (chunks: AsyncIterable<Buffer>) => {
      for await (const chunk of chunks) compressed.push(chunk);
    },
  );
  const forged = await write(Buffer.concat(compressed));
  const diffId = `sha256:${diff.digest("hex")}`;
  let config = await readFile(blob(manifest.config.digest), "utf8");
  let count = 0;
  for (const own of manifest.layers) {
    const tar = zstdDecompressSync(await readFile(blob(own.digest)));
    const { stdout } = await execa("tar", ["t"], { input: tar });
    if (!stdout.split("\n").includes(name)) continue;
    count++;
    config = config.replaceAll(own.digest, forged.digest);
    Object.assign(own, forged);
    own.annotations["containerd.io/uncompressed"] = diffId;
  }
  assert.ok(count > 0);
  Object.assign(manifest.config, await write(Buffer.from(config)));
  Object.assign(manifests[0] ?? {}, await write(Buffer.from(JSON.stringify(manifest))));
  await writeFile(index, JSON.stringify({ schemaVersion: 2, manifests }));
}
