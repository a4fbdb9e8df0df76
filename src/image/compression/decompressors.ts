import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { absoluteFolders } from "../../host/child.ts";
import type { StepContext } from "../../host/step-context.ts";
import { type Compression, compressionFormats } from "./formats.ts";

/** A program that decompresses stdin to stdout, in a process of its own. It never gets a path of an image. */
export interface Program {
  readonly path: string;
  readonly flags: string;
  /** Whether it ignores what follows the last member. Otherwise that is an error. */
  readonly endsLoosely: boolean;
}

/** What is available for decompression, besides Node's own streams. */
export interface Decompressors {
  readonly programs: ReadonlyMap<Compression, Program>;
  /** The compressions that a thread can decompress itself, straight into its own buffer. */
  readonly inThread: ReadonlySet<Compression>;
}

/**
 * Finds the programs in the absolute folders of PATH, and the compressions that a thread can decompress in this
 * Node.
 */
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
