import { addAbortListener } from "node:events";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { Socket } from "node:net";
import { startChild } from "../../host/child.ts";
import type { StepContext } from "../../host/step-context.ts";
import { ArrivingBlob } from "../../image/arriving-blob.ts";
import type { Decompressors, Program } from "../../image/compression/decompressors.ts";
import { type Compression, compressionFormatOf, compressionOf } from "../../image/compression/formats.ts";
import { headLength } from "../../image/compression/magic.ts";
import { damagedLayer, undecompressable } from "../../image/damaged-layer.ts";
import { checkFound, type FoundBlob } from "../../image/verify.ts";
import { close, duplicate, openPipe } from "../syscalls.ts";
import { type LayerBytes, openCompressed, plainBytes } from "./layer.ts";
import { type LayerSource, openLayerSource } from "./layer-source.ts";

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;

/**
 * A layer's bytes in a form that a thread can read synchronously: plain, or compressed for that thread to
 * decompress.
 */
export interface OpenBytes {
  /** Descriptor of a pipe or file. */
  readonly fd: number;
  readonly compression: Compression;
  /**
   * Where the blob is in the file, and how much of it ({@link Arrival}). Its reader must hash it unless `isVerified`.
   * Undefined for a pipe, whose bytes are verified before they are written to it.
   */
  readonly file:
    | { readonly start: number; readonly arrival: SharedArrayBuffer; readonly isVerified: boolean }
    | undefined;
}

/** What a layer was found to be by the thread that has read it. */
export interface ReadLayer {
  /** The number of plain bytes. */
  readonly size: number;
  /** Undefined for what others verify. */
  readonly blob: FoundBlob | undefined;
}

export interface OpenLayer extends AsyncDisposable {
  /**
   * Whether the bytes that are decompressed are the very ones that are checked against the blob's digest. Not so if a
   * program reads the blob's file: the file may change before it is read again for the digest. One that is verified as
   * it arrives is in a file that only this process can reach.
   */
  readonly isReadOnce: boolean;
  /**
   * Returns the bytes. May be called only once; the caller closes the descriptor. Before the call, as many bytes
   * are decompressed as fit into a pipe.
   */
  take(): OpenBytes;
  /**
   * To be called when the layer has been read to its end.
   * @throws UserError unless size and digest of the blob and the compression's own checks were all right
   */
  finished(read: ReadLayer): Promise<void>;
  /**
   * To be called when the layer's content is invalid, after its descriptor has been closed.
   * @throws UserError if the cause is that the blob doesn't match its descriptor, or can't be decompressed
   */
  throwIfDamaged(blob: FoundBlob | undefined): Promise<void>;
}

export interface OpenLayerOptions {
  readonly step: Pick<StepContext, "env" | "signal">;
  readonly decompressors: Decompressors;
}

/** Opens a layer, and starts its decompression unless its reader decompresses. */
export async function openLayer(layer: LayerBytes, options: OpenLayerOptions): Promise<OpenLayer> {
  const { descriptor, file } = layer;
  const whole = file === undefined ? undefined : { path: file, start: 0 };
  const blob = layer.arriving ?? (whole && ArrivingBlob.inFile(descriptor, whole, true));
  if (blob !== undefined) {
    const compression = compressionOf(await blob.head(headLength));
    if (isReadAsItIs(compression, options)) return openInFile(layer, { blob, compression }, options);
  }
  return await openBeside(layer, options);
}

function isReadAsItIs(compression: Compression, { decompressors }: OpenLayerOptions): boolean {
  return compression === "none" || decompressors.inThread.has(compression);
}

/** For a thread that reads the blob in its file while it arrives. With `none` it only hashes the blob. */
export async function openInFile(
  { where = "layer" }: Pick<LayerBytes, "where">,
  { blob, compression }: { readonly blob: ArrivingBlob; readonly compression: Compression },
  { step }: Pick<OpenLayerOptions, "step">,
): Promise<OpenLayer> {
  await using resources = new AsyncDisposableStack();
  const { path, start } = blob.place;
  // It may be in a folder that others write to: no link is followed, and no FIFO waited for.
  const file = resources.use(await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
  const arrival = blob.follow();
  resources.defer(() => blob.unfollow(arrival));
  resources.use(addAbortListener(step.signal, () => blob.unfollow(arrival)));
  const check = async (found: FoundBlob | undefined) => {
    step.signal.throwIfAborted();
    await blob.ended();
    if (found !== undefined) checkFound(blob.descriptor, found, where);
  };
  const owned = resources.move();
  return {
    isReadOnce: true,
    take: () => ({
      fd: duplicate(file.fd),
      compression,
      file: { start, arrival: arrival.memory, isVerified: blob.isVerified },
    }),
    finished: ({ blob: found }) => check(found),
    throwIfDamaged: check,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** For a thread that reads from a pipe: what others decompress, or what comes from a stream. */
async function openBeside(layer: LayerBytes, options: OpenLayerOptions): Promise<OpenLayer> {
  const stop = new AbortController();
  const step = {
    env: options.step.env,
    signal: AbortSignal.any([options.step.signal, stop.signal]),
  };
  await using resources = new AsyncDisposableStack();
  const source = resources.use(await openLayerSource(layer, step.signal));
  const { compression } = source;
  const asItIs = isReadAsItIs(compression, options);
  const program = asItIs ? undefined : options.decompressors.programs.get(compression);
  const { bytes, running } = asItIs
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
    isReadOnce: program === undefined || source.fd === undefined,
    take() {
      isTaken = true;
      return bytes;
    },
    async finished({ size }) {
      await check();
      if (program?.endsLoosely === true && (await source.lastNumber()) !== size % 2 ** 32)
        await checkInFull(layer, step.signal);
    },
    throwIfDamaged: check,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The bytes of a layer, and the tasks that run while they are read. */
interface Started {
  readonly bytes: OpenBytes;
  readonly running: readonly Promise<void>[];
}

/** Passes the bytes of a stream on without decompressing them. */
function readAsItIs(source: LayerSource, signal: AbortSignal): Started {
  const { readEnd, writeEnd } = openPipe();
  const bytes = { fd: readEnd, compression: source.compression, file: undefined };
  return { bytes, running: [feed(source.read(), writeEnd, signal)] };
}

interface DecompressOptions {
  readonly layer: LayerBytes;
  readonly step: Pick<StepContext, "env" | "signal">;
  /** If there is none, Node decompresses. */
  readonly program: Program | undefined;
}

function decompressed(source: LayerSource, { layer, step, program }: DecompressOptions): Started {
  const { readEnd, writeEnd } = openPipe();
  const bytes = { fd: readEnd, compression: "none", file: undefined } as const;
  if (program !== undefined)
    return { bytes, running: decompressBy(program, source, { layer, step, output: writeEnd }) };
  const plain = plainBytes({ ...source, bytes: source.read() }, layer.descriptor);
  return { bytes, running: [feed(plain, writeEnd, step.signal)] };
}

/**
 * Starts a program. It reads a blob's file itself, which is read again here for the digest: the page cache makes that
 * cheap. The file may change between the two readings. That is safe, because the diff ID is then always computed, from
 * the same bytes that are unpacked. Nothing relies on both readings being equal.
 */
function decompressBy(
  { path, flags }: Program,
  source: LayerSource,
  { layer, step, output }: { layer: LayerBytes; step: Pick<StepContext, "env" | "signal">; output: number },
): Promise<void>[] {
  const input = source.fd === undefined ? openPipe() : undefined;
  const run = async () => {
    // execa accepts any descriptor, but its types only allow those that a shell can name.
    const stdin = (input?.readEnd ?? source.fd) as 0;
    const ended = await startChild(step, path, [flags], { stdin, stdout: output as 1, reject: false });
    step.signal.throwIfAborted();
    if (!ended.failed || ended.signal === "SIGPIPE") return;
    const words = (ended.stderr ?? "").slice(0, 300) || `status ${ended.exitCode ?? ended.signal}`;
    const reason = compressionFormatOf(source.compression)?.reason(words) ?? words;
    throw damagedLayer(layer.descriptor.digest, undecompressable(reason));
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

/**
 * Writes bytes to a pipe, and closes it. If the pipe's reader stops, the rest is still read, so that it is
 * verified.
 */
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

/**
 * The layer has several members, padding or something that should not be there. Only decompressing it again shows
 * which.
 */
async function checkInFull(layer: LayerBytes, signal: AbortSignal): Promise<void> {
  await readToEnd(plainBytes(await openCompressed(layer, signal), layer.descriptor));
}
