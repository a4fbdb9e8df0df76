import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { absoluteFolders } from "../../host/child.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Compression } from "./compression.ts";
import { canReadZstd } from "./zstd-reader.ts";

/** A program that decompresses stdin to stdout, in a process beside ours. It is given no path of an image. */
export interface Program {
  readonly path: string;
  readonly flags: string;
}

/** What there is to decompress with, besides Node's own streams. */
export interface Decompressors {
  readonly programs: ReadonlyMap<Compression, Program>;
  /** Whether a thread can decompress Zstandard to where the bytes are wanted. */
  readonly zstdInThread: boolean;
}

/**
 * igzip takes half the time of Node's zlib. zstd(1) is for where a thread can't do it: it reads any number of frames,
 * and limits its memory.
 */
const knownPrograms = [
  ["gzip", "igzip", "-dc"],
  ["zstd", "zstd", "-dcq"],
] as const;

/** Looks for the programs in the absolute folders of PATH, and for libzstd in Node. */
export function findDecompressors(env: StepContext["env"]): Decompressors {
  const folders = absoluteFolders(env);
  const found = knownPrograms.flatMap(([compression, name, flags]): [Compression, Program][] => {
    const path = folders.map((folder) => join(folder, name)).find(isExecutable);
    return path === undefined ? [] : [[compression, { path, flags }]];
  });
  return { programs: new Map(found), zstdInThread: canReadZstd() };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
