import { addAbortListener } from "node:events";
import { Socket } from "node:net";
import { startChild } from "../../host/child.ts";
import type { StepContext } from "../../host/step-context.ts";
import type { Decompressors, Program } from "../../image/compression/decompressors.ts";
import type { Compression } from "../../image/compression/formats.ts";
import { undecompressableLayer } from "../../image/compression/undecompressable.ts";
import { close, duplicate, openPipe } from "../syscalls.ts";
import { type LayerBytes, openCompressed, plainBytes } from "./layer.ts";
import { type LayerSource, openLayerSource } from "./layer-source.ts";

/** A layer's bytes, where a thread can read them synchronously: plain, or for that thread to decompress. */
export interface OpenBytes {
  /** Of a pipe or file. */
  readonly fd: number;
  readonly compression: Compression;
}

export interface OpenLayer extends AsyncDisposable {
  /** The bytes, once; as many as a pipe holds are made ahead. Whoever takes them closes the descriptor. */
  take(): OpenBytes;
  /**
   * The layer was read to its end.
   * @throws UserError unless size and digest of the blob and the compression's own checks were all right
   */
  finished(plainSize: number): Promise<void>;
  /**
   * The layer made no sense, and isn't read on; its descriptor is closed.
   * @throws UserError if that is because it isn't what its descriptor says, or can't be decompressed
   */
  throwIfDamaged(): Promise<void>;
}

export interface OpenLayerOptions {
  readonly step: Pick<StepContext, "env" | "signal">;
  readonly decompressors: Decompressors;
  /** Whether what follows the last member of gzip is no error; by default it is one. */
  readonly mayEndLoosely?: boolean;
}

/** Opens a layer, and starts to decompress it where its reader won't. */
export async function openLayer(layer: LayerBytes, options: OpenLayerOptions): Promise<OpenLayer> {
  const stop = new AbortController();
  const step = {
    env: options.step.env,
    signal: AbortSignal.any([options.step.signal, stop.signal]),
  };
  await using resources = new AsyncDisposableStack();
  const source = resources.use(await openLayerSource(layer, step.signal));
  const { programs, inThread } = options.decompressors;
  const { compression } = source;
  const isReadAsItIs = compression === "none" || inThread.has(compression);
  const program = isReadAsItIs ? undefined : programs.get(compression);
  const { bytes, running } = isReadAsItIs
    ? readAsItIs(source, step.signal)
    : decompressed(source, { layer, step, program });
  let isTaken = false;
  resources.defer(() => {
    if (!isTaken) close(bytes.fd);
  });
  const outcomes = Promise.allSettled(running);
  resources.defer(async () => void (await outcomes));
  resources.defer(() => stop.abort());
  const check = async () => {
    for (const outcome of await outcomes) if (outcome.status === "rejected") throw outcome.reason;
  };
  const owned = resources.move();
  return {
    take() {
      isTaken = true;
      return bytes;
    },
    async finished(plainSize) {
      await check();
      if (
        options.mayEndLoosely !== true &&
        program?.endsLoosely === true &&
        (await source.lastNumber()) !== plainSize % 2 ** 32
      )
        await checkInFull(layer, step.signal);
    },
    throwIfDamaged: check,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What is under way for a layer, besides the reading of its bytes. */
interface Started {
  readonly bytes: OpenBytes;
  readonly running: readonly Promise<void>[];
}

/**
 * Leaves the bytes as they are. A blob's file is read by whoever takes it, and the digest is taken from a second
 * reading, which the page cache serves: what is unpacked is what the diff ID is taken of, so nothing rests on both
 * reading the same.
 */
function readAsItIs(source: LayerSource, signal: AbortSignal): Started {
  const { compression } = source;
  if (source.fd !== undefined) {
    return { bytes: { fd: duplicate(source.fd), compression }, running: [readToEnd(source.read())] };
  }
  const { readEnd, writeEnd } = openPipe();
  return { bytes: { fd: readEnd, compression }, running: [feed(source.read(), writeEnd, signal)] };
}

interface DecompressOptions {
  readonly layer: LayerBytes;
  readonly step: Pick<StepContext, "env" | "signal">;
  /** Node's zlib if there is none. */
  readonly program: Program | undefined;
}

function decompressed(source: LayerSource, { layer, step, program }: DecompressOptions): Started {
  const { readEnd, writeEnd } = openPipe();
  const bytes = { fd: readEnd, compression: "none" } as const;
  if (program !== undefined)
    return { bytes, running: decompressBy(program, source, { layer, step, output: writeEnd }) };
  const plain = plainBytes({ ...source, bytes: source.read() }, layer.descriptor);
  return { bytes, running: [feed(plain, writeEnd, step.signal)] };
}

/** Starts a program. It reads a blob's file by itself, see {@link readAsItIs}. */
function decompressBy(
  { path, flags }: Program,
  source: LayerSource,
  { layer, step, output }: { layer: LayerBytes; step: Pick<StepContext, "env" | "signal">; output: number },
): Promise<void>[] {
  const input = source.fd === undefined ? openPipe() : undefined;
  const run = async () => {
    // execa takes any descriptor; its types only know those that a shell could name.
    const stdin = (input?.readEnd ?? source.fd) as 0;
    const ended = await startChild(step, path, [flags], { stdin, stdout: output as 1, reject: false });
    step.signal.throwIfAborted();
    if (!ended.failed || ended.signal === "SIGPIPE") return;
    const reason = (ended.stderr ?? "").slice(0, 300) || `status ${ended.exitCode ?? ended.signal}`;
    throw undecompressableLayer(layer.descriptor.digest, reason);
  };
  const ended = run();
  close(output);
  if (input === undefined) return [readToEnd(source.read()), ended];
  close(input.readEnd);
  return [feed(source.read(), input.writeEnd, step.signal), ended];
}

async function readToEnd(bytes: AsyncIterable<Buffer>): Promise<void> {
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
async function checkInFull(layer: LayerBytes, signal: AbortSignal): Promise<void> {
  await readToEnd(plainBytes(await openCompressed(layer, signal), layer.descriptor));
}
