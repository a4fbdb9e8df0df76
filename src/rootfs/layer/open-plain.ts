import { addAbortListener } from "node:events";
import { accessSync, constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Socket } from "node:net";
import { isAbsolute, join } from "node:path";
import { startChild } from "../../host/child.ts";
import type { Host } from "../../host/host.ts";
import { close, openPipe } from "../system.ts";
import type { Compression } from "./compression.ts";
import { type Compressed, decompress, type Layer, openCompressed, undecompressed } from "./layer.ts";

/** The plain bytes of a layer, where a thread can read them synchronously; as many as a pipe holds are made ahead. */
export interface PlainLayer extends AsyncDisposable {
  readonly fd: number;
  /**
   * The layer was read to its end.
   * @throws UserError unless size and digest of the blob and the compression's own checks were all right
   */
  finished(plainSize: number): Promise<void>;
  /**
   * The layer made no sense, and isn't read on.
   * @throws UserError if that is because it isn't what its descriptor says, or can't be decompressed
   */
  blamed(): Promise<void>;
}

/** The path of each program that there is. */
export type Programs = ReadonlyMap<Compression, string>;

/**
 * Programs that decompress stdin to stdout, in a process beside ours: igzip takes half the time of Node's zlib, and
 * zstd(1) reads any number of frames. They are given no path of an image. zstd's default limits its memory.
 */
const programs = [
  ["gzip", "igzip", "-dc"],
  ["zstd", "zstd", "-dcq"],
] as const;

const readAtOnce = 1024 * 1024;

/** Looks for the programs in the absolute folders of PATH. */
export function findPrograms(env: Host["env"]): Programs {
  const folders = (env["PATH"] ?? "").split(":").filter(isAbsolute);
  const found = programs.flatMap(([compression, name]): [Compression, string][] => {
    const path = folders.map((folder) => join(folder, name)).find(isExecutable);
    return path === undefined ? [] : [[compression, path]];
  });
  return new Map(found);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface OpenPlainOptions {
  readonly host: Pick<Host, "env" | "signal">;
  readonly programs: Programs;
}

/** Starts to decompress a layer. */
export async function openPlain(layer: Layer, options: OpenPlainOptions): Promise<PlainLayer> {
  const stop = new AbortController();
  const host = { env: options.host.env, signal: AbortSignal.any([options.host.signal, stop.signal]) };
  await using resources = new AsyncDisposableStack();
  const file = layer.file === undefined ? undefined : resources.use(await openBlob(layer.file));
  const compressed = await openCompressed(
    file === undefined ? layer : { ...layer, open: read(file) },
    host.signal,
  );
  const watched = watchEnd(compressed);
  const output = openPipe();
  let isOpen = true;
  const closeOutput = () => {
    if (isOpen) close(output.readEnd);
    isOpen = false;
  };
  resources.defer(closeOutput);
  const program = options.programs.get(compressed.compression);
  const running =
    program === undefined
      ? [feed(decompress(compressed, layer.descriptor), output.writeEnd, host.signal)]
      : runProgram({ program, layer, host, file, bytes: watched.bytes, output: output.writeEnd });
  const outcomes = Promise.allSettled(running);
  resources.defer(async () => void (await outcomes));
  resources.defer(() => stop.abort());
  const check = async () => {
    for (const outcome of await outcomes) if (outcome.status === "rejected") throw outcome.reason;
  };
  const owned = resources.move();
  return {
    fd: output.readEnd,
    async finished(plainSize) {
      await check();
      // igzip takes whatever follows the last member for nothing.
      const isLooseEnded = program !== undefined && compressed.compression === "gzip";
      if (isLooseEnded && watched.lastNumber() !== plainSize % 2 ** 32) await checkInFull(layer, host.signal);
    },
    async blamed() {
      closeOutput(); // Which ends the program.
      await check();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A regular file and nothing else: it may be in a folder that others write to. */
function openBlob(path: string): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
}

/** Reads a file from its start, without moving the position that a program reads it at. */
function read(file: FileHandle): Layer["open"] {
  return async () => file.createReadStream({ start: 0, highWaterMark: readAtOnce, autoClose: false });
}

/**
 * Starts a program. From a blob's file it reads by itself, and the digest is taken from a second reading, which
 * the page cache serves: what is unpacked is what the diff ID is taken of, so nothing rests on both reading the same.
 */
function runProgram(options: {
  readonly program: string;
  readonly layer: Layer;
  readonly host: Pick<Host, "env" | "signal">;
  readonly file: FileHandle | undefined;
  readonly bytes: AsyncGenerator<Buffer>;
  readonly output: number;
}): Promise<void>[] {
  const { program, layer, host, file, bytes, output } = options;
  const flags = programs.find(([, name]) => program.endsWith(`/${name}`))?.[2] ?? "-dc";
  const input = file === undefined ? openPipe() : undefined;
  const start = async () => {
    // execa takes any descriptor; its types only know those that a shell could name.
    const stdin = (input?.readEnd ?? file?.fd) as 0;
    const ended = await startChild(host, program, [flags], { stdin, stdout: output as 1, reject: false });
    host.signal.throwIfAborted();
    if (!ended.failed || ended.signal === "SIGPIPE") return;
    const reason = (ended.stderr ?? "").slice(0, 300) || `status ${ended.exitCode ?? ended.signal}`;
    throw undecompressed(layer.descriptor.digest, reason);
  };
  const ended = start();
  close(output);
  if (input === undefined) return [drain(bytes), ended];
  close(input.readEnd);
  return [feed(bytes, input.writeEnd, host.signal), ended];
}

async function drain(bytes: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of bytes);
}

/** Writes bytes to a pipe, and closes it. When nobody reads it any more they are still drained, to be verified. */
async function feed(bytes: AsyncIterable<Buffer>, fd: number, signal: AbortSignal): Promise<void> {
  const pipe = new Socket({ fd, readable: false, writable: true });
  pipe.on("error", () => pipe.destroy());
  using _ = addAbortListener(signal, () => pipe.destroy());
  const until = (event: "drain" | "finish") =>
    new Promise<void>((resolve) => {
      const settle = () => {
        pipe.off(event, settle).off("close", settle);
        resolve();
      };
      pipe.on(event, settle).on("close", settle);
    });
  try {
    for await (const chunk of bytes) {
      if (!pipe.destroyed && !pipe.write(chunk)) await until("drain");
    }
    if (pipe.destroyed) return;
    const finished = until("finish");
    pipe.end();
    await finished;
  } finally {
    pipe.destroy();
  }
}

/** Keeps an eye on the last four bytes: in gzip, the plain length of the last member modulo 2^32 (RFC 1952, 2.3.1). */
function watchEnd({ bytes }: Compressed): { bytes: AsyncGenerator<Buffer>; lastNumber: () => number } {
  let last = Buffer.alloc(0);
  async function* watched() {
    for await (const chunk of bytes) {
      last = Buffer.concat([last, chunk.subarray(-4)]).subarray(-4);
      yield chunk;
    }
  }
  return { bytes: watched(), lastNumber: () => (last.length < 4 ? 0 : last.readUInt32LE(0)) };
}

/** Several members, padding or what should not be there: only decompressing it once more tells. */
async function checkInFull(layer: Layer, signal: AbortSignal): Promise<void> {
  await drain(decompress(await openCompressed(layer, signal), layer.descriptor));
}
