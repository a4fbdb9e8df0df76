import assert from "node:assert/strict";
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { UserError } from "../../../src/host/errors.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import type { Decompressors } from "../../../src/image/compression/decompressors.ts";
import { type DiffId, digestOf } from "../../../src/image/digest.ts";
import { type Layer, unpackRootfs } from "../../../src/rootfs/unpack.ts";
import { createTestStep } from "../runs/test-step.ts";
import { type RawMember, rawTar } from "../tar/raw-tar.ts";
import { readTree, type TreeEntry } from "../tar/trees.ts";

/** A layer: its members, its archive, or all of it. */
export type LayerLike = readonly RawMember[] | Buffer | Layer;

/** A layer of an archive, whose blob is another form of it. */
export function layerOf(tar: Buffer, blob: Buffer = tar): Layer {
  const mediaType = "application/vnd.oci.image.layer.v1.tar+gzip";
  return {
    descriptor: { mediaType, digest: digestOf(blob), size: blob.length },
    diffId: digestOf(tar) as DiffId,
    isProven: false,
    open: async () => Readable.from([blob]),
    file: undefined,
  };
}

/** An image is unpacked in one thread or in several, by its size. */
export const ways = ["in one thread", "in several threads"] as const;
export type Way = (typeof ways)[number];

/** Makes an image large, and leaves no trace in its tree: aufs's own files don't count as content. */
const largeLayer = layerOf(
  rawTar([{ flag: "0", path: ".wh..wh.large", content: Buffer.alloc(1024 * 1024) }]),
);

/** Folders of the host, by absolute path, that a layer may name and must not reach. */
export interface Outside {
  readonly root: string;
  /** Holds `victim`, a file, and `folder`, which holds `inner`. */
  readonly canary: string;
}

export interface Unpacked extends AsyncDisposable, Outside {
  readonly way: Way;
  readonly error: unknown;
  /** But for how far it was, which a slow machine tells as well. */
  readonly logged: string;
}

/** What is unpacked; or how to make it, for layers that name folders of the host. */
export type Layers = readonly LayerLike[] | ((outside: Outside) => readonly LayerLike[]);

/**
 * Unpacks layers, lower first, beside folders that must stay as they are: `canary`, and one whose name begins like
 * the root's. Asserts that they do, and that a failure leaves no destination.
 * @param decompressors all there are, if it isn't given
 */
export async function unpack(layers: Layers, way: Way, decompressors?: Decompressors): Promise<Unpacked> {
  await using resources = new AsyncDisposableStack();
  const place = resources.use(await createPrivateFolder("test-unpack"));
  const outside = { root: join(place.path, "rootfs"), canary: join(place.path, "canary") };
  const watched = [outside.canary, `${outside.root}-evil`];
  for (const path of watched) {
    mkdirSync(join(path, "folder"), { recursive: true });
    for (const name of ["victim", "folder/inner"]) writeFileSync(join(path, name), "untouched");
  }
  const before = watched.map(stateOf);
  const step = createTestStep();
  const chosen = typeof layers === "function" ? layers(outside) : layers;
  const made = chosen.map((layer) => {
    if ("diffId" in layer) return layer;
    return layerOf(Buffer.isBuffer(layer) ? layer : rawTar(layer));
  });
  if (way === "in several threads") made.unshift(largeLayer);
  const unpacking = unpackRootfs({ layers: made, destination: outside.root, step }, decompressors);
  const error = await unpacking.then(
    () => undefined,
    (thrown: unknown) => thrown ?? new Error("undefined was thrown"),
  );
  assert.deepEqual(watched.map(stateOf), before, `${way}: something outside of the root was touched`);
  const beside = readdirSync(place.path).toSorted();
  const expected = ["canary", ...(error === undefined ? ["rootfs"] : []), "rootfs-evil"];
  assert.deepEqual(beside, expected, `${way}: what is beside the root`);
  const owned = resources.move();
  return {
    ...outside,
    way,
    error,
    logged: step.logged().replace(/^unpack(ing|ed \d+) layer.*\n/gm, ""),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** All that would tell of a change, ctime included. */
function stateOf(path: string): unknown {
  const { ino, mode, uid, gid, nlink, size, mtimeNs, ctimeNs } = lstatSync(path, { bigint: true });
  const own = [path, ino, mode, uid, gid, nlink, size, mtimeNs, ctimeNs];
  if ((Number(mode) & 0o170000) !== 0o040000) return [...own, readFileSync(path, "utf8")];
  return [...own, readdirSync(path).map((name) => stateOf(join(path, name)))];
}

/** Unpacks layers in each of the ways, which must all do; then asks `check`. */
export async function unpackBothWays(
  layers: Layers,
  check: (unpacked: Unpacked) => void | Promise<void>,
): Promise<void> {
  for (const way of ways) {
    await using unpacked = await unpack(layers, way);
    assert.equal(unpacked.error, undefined, `${way}: ${stackOf(unpacked.error)}`);
    await check(unpacked);
  }
}

/** Unpacks layers in each of the ways, which must all be refused for a reason that the image's author can put right. */
export async function refuseBothWays(layers: Layers, message: RegExp): Promise<void> {
  for (const way of ways) {
    await using unpacked = await unpack(layers, way);
    assert.ok(unpacked.error instanceof UserError, `${way}: ${stackOf(unpacked.error)}`);
    assert.match(unpacked.error.message, message, way);
  }
}

/** What is known of something thrown. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/**
 * A tree in short: what isn't a folder, and empty folders, by path. Files have their content (at most 60 bytes of it),
 * symlinks `-> target`, folders `/`, all else its type.
 */
export function holding(root: string): Record<string, string> {
  const tree = readTree(root);
  const paths = [...tree.keys()];
  const full = new Set(paths.map((path) => path.slice(0, Math.max(0, path.lastIndexOf("/")))));
  const shown = [...tree].filter(
    ([path, { type }]) => path !== "." && (type !== "folder" || !full.has(path)),
  );
  return Object.fromEntries(
    shown.map(([path, entry]) => [
      path,
      inShort(Buffer.concat([Buffer.from(`${root}/`), bytesOf(path)]), entry),
    ]),
  );
}

const byte = (_: string, hex: string) => String.fromCharCode(Number.parseInt(hex, 16));

/** Undoes what `showBytes` does. */
function bytesOf(shown: string): Buffer {
  if (!shown.includes("\\x")) return Buffer.from(shown);
  return Buffer.from(shown.replaceAll(/\\x([0-9a-f]{2})/g, byte), "latin1");
}

function inShort(path: Buffer, { type, target, device }: TreeEntry): string {
  if (type === "file") return readFileSync(path, "latin1").slice(0, 60);
  if (type === "symlink") return `-> ${target}`;
  if (type === "folder") return "/";
  return device === undefined ? type : `${type} ${device}`;
}

export interface UnpackCase {
  readonly what: string;
  readonly layers: Layers;
  /** The whole tree as {@link holding} shows it. */
  readonly holds: Readonly<Record<string, string>> | ((outside: Outside) => Readonly<Record<string, string>>);
}

/** A test for each case, that both ways of unpacking make that tree and nothing else. */
export function testUnpacking(cases: readonly UnpackCase[]): void {
  for (const { what, layers, holds } of cases) {
    test(`unpacking: ${what}`, async () => {
      await unpackBothWays(layers, (unpacked) => {
        const expected = typeof holds === "function" ? holds(unpacked) : holds;
        assert.deepEqual(holding(unpacked.root), expected, unpacked.way);
      });
    });
  }
}

export interface RefusedCase {
  readonly what: string;
  readonly layers: Layers;
  readonly message: RegExp;
}

/** A test for each case, that both ways of unpacking refuse it. */
export function testRefusing(cases: readonly RefusedCase[]): void {
  for (const { what, layers, message } of cases) {
    test(`unpacking refuses ${what}`, () => refuseBothWays(layers, message));
  }
}
