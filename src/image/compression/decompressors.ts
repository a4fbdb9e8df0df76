import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { absoluteFolders } from "../../host/child.ts";
import type { StepContext } from "../../host/step-context.ts";
import { type Compression, compressionFormats } from "./formats.ts";

/** A program that decompresses stdin to stdout, in a process beside ours. It is given no path of an image. */
export interface Program {
  readonly path: string;
  readonly flags: string;
  /** What follows the last member is no error for it. */
  readonly endsLoosely: boolean;
}

/** What there is to decompress with, besides Node's own streams. */
export interface Decompressors {
  readonly programs: ReadonlyMap<Compression, Program>;
  /** What a thread can decompress to where the bytes are wanted. */
  readonly inThread: ReadonlySet<Compression>;
}

/** Looks for the programs in the absolute folders of PATH, and for what a thread needs in Node. */
export function findDecompressors(env: StepContext["env"]): Decompressors {
  const folders = absoluteFolders(env);
  const programs = new Map<Compression, Program>();
  for (const { compression, program } of compressionFormats) {
    const { name, ...how } = program;
    const path = folders.map((folder) => join(folder, name)).find(isExecutable);
    if (path !== undefined) programs.set(compression, { path, ...how });
  }
  const inThread = compressionFormats.filter((format) => format.inThread?.isPossible() === true);
  return { programs, inThread: new Set(inThread.map(({ compression }) => compression)) };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
