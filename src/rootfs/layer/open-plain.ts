import { addAbortListener } from "node:events";
import { accessSync, constants } from "node:fs";
import { open } from "node:fs/promises";
import { Socket } from "node:net";
import { isAbsolute, join } from "node:path";
import { startChild } from "../../host/child.ts";
import type { Host } from "../../host/host.ts";
import { BlobCheck } from "../../image/verify.ts";
import { close, openPipe } from "../system.ts";
import { type Compression, compressionOf, headLength } from "./compression.ts";
import { decompress, type Layer, openCompressed, undecompressed } from "./layer.ts";

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

const readAtOnce = 512 * 1024;

/** Looks for the programs in the absolute folders of PATH. */
export function findPrograms(env: Host["env"]): Programs {
  const folders = absoluteFolders(env);
  const found = programs.flatMap(([compression, name]): [Compression, string][] => {
    const path = folders.map((folder) => join(folder, name)).find(isExecutable);
    return path === undefined ? [] : [[compression, path]];
  });
  return new Map(found);
}

/** A relative one might lead into what is being unpacked. */
function absoluteFolders(env: Host["env"]): string[] {
  return (env["PATH"] ?? "").split(":").filter(isAbsolute);
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
  const host = {
    env: { ...options.host.env, PATH: absoluteFolders(options.host.env).join(":") },
    signal: AbortSignal.any([options.host.signal, stop.signal]),
  };
  await using resources = new AsyncDisposableStack();
  const source = resources.use(await openSource(layer, host.signal));
  const program = options.programs.get(source.compression);
  const output = openPipe();
  let isOpen = true;
  const closeOutput = () => {
    if (isOpen) close(output.readEnd);
    isOpen = false;
  };
  resources.defer(closeOutput);
  const running =
    program === undefined
      ? [
          feed(
            decompress({ ...source, bytes: source.read() }, layer.descriptor),
            output.writeEnd,
            host.signal,
          ),
        ]
      : decompressBy(program, source, { layer, host, output: output.writeEnd });
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
      const isLooseEnded = program !== undefined && source.compression === "gzip";
      if (isLooseEnded && (await source.lastNumber()) !== plainSize % 2 ** 32)
        await checkInFull(layer, host.signal);
    },
    async blamed() {
      closeOutput(); // Which ends the program.
      await check();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A layer's compressed bytes. */
interface Source extends AsyncDisposable {
  readonly compression: Compression;
  /** Where a program can read them by itself, from the start. */
  readonly fd: number | undefined;
  /** The bytes, verified as they pass; once. */
  read(): AsyncIterable<Buffer>;
  /** The last four bytes: in gzip the plain length of the last member, modulo 2^32 (RFC 1952, 2.3.1). */
  lastNumber(): Promise<number>;
}

function openSource(layer: Layer, signal: AbortSignal): Promise<Source> {
  return layer.file === undefined ? openStream(layer, signal) : openFile(layer, layer.file, signal);
}

async function openStream(layer: Layer, signal: AbortSignal): Promise<Source> {
  const { compression, bytes } = await openCompressed(layer, signal);
  let last = Buffer.alloc(0);
  async function* read() {
    for await (const chunk of bytes) {
      last = Buffer.concat([last, chunk.subarray(-4)]).subarray(-4);
      yield chunk;
    }
  }
  const lastNumber = async () => numberOf(last);
  return { compression, fd: undefined, read, lastNumber, [Symbol.asyncDispose]: async () => {} };
}

/** A regular file and nothing else: it may be in a folder that others write to. */
async function openFile({ descriptor }: Layer, path: string, signal: AbortSignal): Promise<Source> {
  await using resources = new AsyncDisposableStack();
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const file = resources.use(await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const head = Buffer.alloc(headLength);
  const { bytesRead } = await file.read(head, 0, headLength, 0);
  // Positions are always given, so that of the file, where a program begins, stays at its start.
  async function* read() {
    const check = new BlobCheck(descriptor, "layer");
    // One buffer, since a new one for each piece would be more work for the garbage collector than the hashing is.
    const buffer = Buffer.allocUnsafe(readAtOnce);
    for (let at = 0; ; ) {
      signal.throwIfAborted();
      const { bytesRead: length } = await file.read(buffer, 0, readAtOnce, at);
      if (length === 0) break;
      at += length;
      check.add(buffer.subarray(0, length));
      yield buffer.subarray(0, length);
    }
    check.end();
  }
  const owned = resources.move();
  return {
    compression: compressionOf(head.subarray(0, bytesRead)),
    fd: file.fd,
    read,
    async lastNumber() {
      const last = Buffer.alloc(4);
      await file.read(last, 0, 4, Math.max(0, descriptor.size - 4));
      return numberOf(last);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function numberOf(last: Buffer): number {
  return last.length < 4 ? 0 : last.readUInt32LE(0);
}

/**
 * Starts a program. From a blob's file it reads by itself, and the digest is taken from a second reading, which
 * the page cache serves: what is unpacked is what the diff ID is taken of, so nothing rests on both reading the same.
 */
function decompressBy(
  program: string,
  source: Source,
  { layer, host, output }: { layer: Layer; host: Pick<Host, "env" | "signal">; output: number },
): Promise<void>[] {
  const flags = programs.find(([compression]) => compression === source.compression)?.[2] ?? "-dc";
  const input = source.fd === undefined ? openPipe() : undefined;
  const run = async () => {
    // execa takes any descriptor; its types only know those that a shell could name.
    const stdin = (input?.readEnd ?? source.fd) as 0;
    const ended = await startChild(host, program, [flags], { stdin, stdout: output as 1, reject: false });
    host.signal.throwIfAborted();
    if (!ended.failed || ended.signal === "SIGPIPE") return;
    const reason = (ended.stderr ?? "").slice(0, 300) || `status ${ended.exitCode ?? ended.signal}`;
    throw undecompressed(layer.descriptor.digest, reason);
  };
  const ended = run();
  close(output);
  if (input === undefined) return [drain(source.read()), ended];
  close(input.readEnd);
  return [feed(source.read(), input.writeEnd, host.signal), ended];
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

/** Several members, padding or what should not be there: only decompressing it once more tells. */
async function checkInFull(layer: Layer, signal: AbortSignal): Promise<void> {
  await drain(decompress(await openCompressed(layer, signal), layer.descriptor));
}
