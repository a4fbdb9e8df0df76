import { parentPort, workerData } from "node:worker_threads";
import type { TarEntry } from "../../image/tar/entry.ts";
import { TarReader } from "../../image/tar/reader.ts";
import { type Defaults, readDefaults } from "../attributes.ts";
import { close, openHostFolder } from "../syscalls.ts";
import { type SmallFiles, TreeWriter } from "../tree-writer.ts";
import { describeFailure, stoppedError, type ThreadFailure } from "./failure.ts";
import { makeSmallFile } from "./make-small-file.ts";
import {
  counted,
  distance,
  type Job,
  JobQueue,
  jobsLimit,
  type Loaded,
  type SharedMemory,
  share,
  wake,
  word,
} from "./ring-buffer.ts";
import { SpareWork } from "./spare-work.ts";

export interface WriterRequest {
  /** `layer`: write the next layer, as it comes into the ring. `finish`: there are no more. */
  readonly kind: "layer" | "finish";
  /** The folder to unpack into, empty at first and without any other writer. Always the same. */
  readonly root: string;
}

export type WriterAnswer =
  | Loaded
  /** The layer is written. `size` is the number of its plain bytes; its diff ID is in the shared memory. */
  | { readonly kind: "layer"; readonly size: number }
  /** Everything is written and closed. */
  | { readonly kind: "finished" }
  | { readonly kind: "warning"; readonly text: string }
  | { readonly kind: "failed"; readonly failure: ThreadFailure };

/** The largest file in bytes that can be left for spare work. Its whole content must fit into the ring. */
const smallest = 128 * 1024;
/** The most bytes to take from the ring at once. Their room is free only when all of them have been used. */
const takenAtOnce = 512 * 1024;

/**
 * The ring as the writer uses it. While the writer keeps up with the producer, it makes small files at once: noting
 * them for later takes time. Once it lags behind, it leaves them to whoever has nothing else to do.
 */
class Ring implements SmallFiles {
  readonly #shared;
  readonly #jobs: JobQueue;
  readonly #defaults: Defaults;
  readonly #spareWork: SpareWork;
  /** Number of layers read to their end. */
  #layers = 0;
  /** Position up to which bytes have been read. */
  #read = 0;
  /** Position of the piece that was read last. Content that is still to come never lies before it. */
  #chunk = 0;
  /** Position of the content of the current small file. */
  #start: number | undefined;
  #adding = false;

  constructor(memory: SharedMemory, defaults: Defaults) {
    this.#shared = share(memory);
    this.#jobs = new JobQueue(memory.jobs);
    this.#defaults = defaults;
    this.#spareWork = new SpareWork(this.#shared, { defaults, wakes: "producer" });
  }

  /** Reads the next piece of a layer; undefined at its end. The bytes are valid until the next call. */
  read(): Buffer | undefined {
    const { ring, words } = this.#shared;
    let more = 0;
    this.#waitUntil(() => {
      // Told each time, because the producer may wait for a job that has been done meanwhile.
      this.#tellNeeded();
      // Read before `filled`, which the producer stores first. So the last bytes are never missed.
      const isEnd = Atomics.load(words, word.ended) !== this.#layers;
      more = distance(this.#read, Atomics.load(words, word.filled));
      return more > 0 || isEnd;
    });
    if (more === 0) return undefined;
    const start = this.#read & (ring.length - 1);
    const length = Math.min(more, ring.length - start, takenAtOnce);
    this.#chunk = this.#read;
    this.#read = (this.#read + length) | 0;
    return ring.subarray(start, start + length);
  }

  /** The end of a layer: its digest is stored. The producer does nothing then. */
  endLayer(): void {
    const { words } = this.#shared;
    this.#layers = (this.#layers + 1) | 0;
    this.#waitUntil(() => Atomics.load(words, word.hashed) === this.#read);
    this.#spareWork.digest();
  }

  takes({ size, runs, xattrs }: TarEntry): boolean {
    this.#start = undefined;
    this.#adding = size <= smallest && runs === undefined && xattrs === undefined && this.#lags();
    return this.#adding;
  }

  /** Whether more than half of the ring has been filled and not yet read. */
  #lags(): boolean {
    const { ring, words } = this.#shared;
    return distance(this.#read, Atomics.load(words, word.filled)) > ring.length / 2;
  }

  add(bytes: Buffer): void {
    if (this.#start !== undefined) return;
    // The bytes are a view of the piece that `read` returned last, so they begin less than a ring's length before
    // its end.
    const { ring } = this.#shared;
    this.#start = (this.#read - ((this.#read - bytes.byteOffset) & (ring.length - 1))) | 0;
  }

  make(dirfd: number, name: string, { mode, uid, gid, mtime, atime, size }: TarEntry): void {
    const job: Job = {
      dirfd,
      name,
      mode,
      uid,
      gid,
      mtime,
      atime,
      // An empty file needs no bytes. Any position that is still kept will do.
      start: this.#start ?? this.#chunk,
      length: size,
    };
    this.#adding = false;
    const { words, ring } = this.#shared;
    const given = words[word.given] ?? 0;
    if (distance(Atomics.load(words, word.done), given) >= jobsLimit) {
      makeSmallFile(job, ring, this.#defaults);
      return;
    }
    this.#jobs.write(given, job);
    Atomics.store(words, word.given, (given + 1) | 0);
    wake(this.#shared, word.wakeProducer);
  }

  flush(): void {
    const { words } = this.#shared;
    this.#waitUntil(() => Atomics.load(words, word.done) === words[word.given]);
  }

  /** Tells the producer which bytes it may overwrite, as far as this thread and its jobs are concerned. */
  #tellNeeded(): void {
    const { words } = this.#shared;
    const needed = (this.#read - this.#kept()) | 0;
    if (needed === words[word.needed]) return;
    Atomics.store(words, word.needed, needed);
    wake(this.#shared, word.wakeProducer);
  }

  /** The number of bytes before the read position that are still needed. */
  #kept(): number {
    const { words } = this.#shared;
    let kept = 0;
    const done = Atomics.load(words, word.done);
    // Jobs are in order: none needs bytes before the content of the first unfinished one.
    if (done !== words[word.given]) kept = distance(this.#jobs.start(done), this.#read);
    if (this.#adding && this.#start !== undefined) kept = Math.max(kept, distance(this.#start, this.#read));
    return kept;
  }

  #waitUntil(holds: () => boolean): void {
    if (!this.#spareWork.waitUntil(word.wakeWriter, holds)) throw stoppedError();
  }
}

const memory = workerData as SharedMemory;
const port = parentPort;
if (port === null) throw new Error("this is a worker's file");
const answer = (message: WriterAnswer) => port.postMessage(message);
answer({ kind: "loaded" });
const defaults = readDefaults();
const ring = new Ring(memory, defaults);
const { progress } = share(memory);
/** The open folder, and what writes into it; from the first request on. */
let opened: { readonly root: number; readonly writer: TreeWriter } | undefined;

const warn = (text: string) => answer({ kind: "warning", text });

function openTree(path: string): NonNullable<typeof opened> {
  const root = openHostFolder(path);
  return { root, writer: new TreeWriter({ root, defaults, warn, smallFiles: ring }) };
}

function writeLayer(writer: TreeWriter): number {
  let size = 0;
  writer.startLayer();
  const tar = new TarReader(writer);
  for (let bytes = ring.read(); bytes !== undefined; bytes = ring.read()) {
    size += bytes.length;
    tar.write(bytes);
    progress[counted.entries] = writer.written.entries;
    progress[counted.bytes] = writer.written.bytes;
  }
  tar.end();
  ring.endLayer();
  return size;
}

port.on("message", ({ kind, root: path }: WriterRequest) => {
  try {
    opened ??= openTree(path);
    const { root, writer } = opened;
    if (kind === "finish") {
      writer.finish();
      writer.closeAll();
      close(root);
      answer({ kind: "finished" });
    } else {
      answer({ kind: "layer", size: writeLayer(writer) });
    }
  } catch (thrown) {
    answer({ kind: "failed", failure: describeFailure(thrown) });
  }
});
