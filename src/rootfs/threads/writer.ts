import { readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { type Defaults, readDefaults } from "../attributes.ts";
import { close, openHostFolder } from "../system.ts";
import type { TarEntry } from "../tar/entry.ts";
import { TarReader } from "../tar/reader.ts";
import { type SmallFiles, TreeWriter } from "../tree-writer.ts";
import { describeFailure, type Failure } from "./failure.ts";
import { makeSmallFile } from "./make-small-file.ts";
import {
  counted,
  distance,
  type Job,
  Jobs,
  jobsLimit,
  type Loaded,
  request,
  type SharedMemory,
  share,
  wake,
  word,
} from "./shared.ts";

/** What this worker is started with: the folder to write to, empty and owned by nobody else. */
export interface WriterData {
  readonly memory: SharedMemory;
  readonly root: string;
}

/** The descriptor of a pipe or file with the next layer's plain bytes; or that there is none. */
export type WriterRequest = { readonly layer: number } | { readonly layer: undefined };

export type WriterAnswer =
  | Loaded
  /** The layer is written, as far as its archive goes: its plain bytes, and in the shared memory its diff ID. */
  | { readonly kind: "layer"; readonly size: number }
  /** All is written and closed. */
  | { readonly kind: "finished" }
  | { readonly kind: "warning"; readonly text: string }
  | { readonly kind: "failed"; readonly failure: Failure };

/** Files up to so many bytes can be left to the hasher's thread: it needs their content in the ring, whole. */
const smallest = 128 * 1024;
/** Bytes read from a layer at once, at most: what is read is hot in the cache when it is written. */
const readAtOnce = 512 * 1024;

/**
 * The ring as the writer sees it: fills it, gives small files away while the hasher keeps up, and makes them itself
 * when it doesn't, so both threads have about the same to do.
 */
class Ring implements SmallFiles {
  readonly #shared;
  readonly #jobs: Jobs;
  readonly #defaults: Defaults;
  #filled = 0;
  /** Position of what was read last: whatever content is still to come, none of it lies before. */
  #chunk = 0;
  /** Position of the content of the small file at hand. */
  #start: number | undefined;
  #adding = false;

  constructor(memory: SharedMemory, defaults: Defaults) {
    this.#shared = share(memory);
    this.#jobs = new Jobs(memory.jobs);
    this.#defaults = defaults;
  }

  /** Reads more of a layer; undefined at its end. The bytes are good until the next call. */
  read(fd: number): Buffer | undefined {
    const { ring, words } = this.#shared;
    const start = this.#filled & (ring.length - 1);
    const room = Math.min(this.#room(), ring.length - start, readAtOnce);
    const length = readSync(fd, ring, start, room, null);
    if (length === 0) return undefined;
    this.#chunk = this.#filled;
    this.#filled = (this.#filled + length) | 0;
    Atomics.store(words, word.filled, this.#filled);
    wake(this.#shared, word.wakeHasher);
    return ring.subarray(start, start + length);
  }

  /** The end of a layer: waits for the hasher to tell its digest. */
  endLayer(): void {
    const { words } = this.#shared;
    Atomics.store(words, word.request, request.digest);
    wake(this.#shared, word.wakeHasher);
    this.#waitUntil(() => Atomics.load(words, word.request) === request.none);
  }

  takes({ size, runs, xattrs }: TarEntry): boolean {
    this.#start = undefined;
    this.#adding = size <= smallest && runs === undefined && xattrs === undefined;
    return this.#adding;
  }

  add(bytes: Buffer): void {
    if (this.#start !== undefined) return;
    // They are a view of what `read` gave last, so they begin less than the ring's length before its end.
    const { ring } = this.#shared;
    this.#start = (this.#filled - ((this.#filled - bytes.byteOffset) & (ring.length - 1))) | 0;
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
      // An empty file's is before those that follow, since all from the first undone job's on is kept.
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
    wake(this.#shared, word.wakeHasher);
  }

  flush(): void {
    const { words } = this.#shared;
    this.#waitUntil(() => Atomics.load(words, word.done) === words[word.given]);
  }

  /** Bytes that may be read into the ring; waits until there are some. */
  #room(): number {
    let room = 0;
    this.#waitUntil(() => {
      room = this.#shared.ring.length - this.#kept();
      return room > 0;
    });
    return room;
  }

  /** Bytes before the end of what is filled that someone still needs. */
  #kept(): number {
    const { words } = this.#shared;
    let kept = distance(Atomics.load(words, word.hashed), this.#filled);
    const done = Atomics.load(words, word.done);
    // No job needs what lies before the content of an earlier one.
    if (done !== words[word.given]) kept = Math.max(kept, distance(this.#jobs.start(done), this.#filled));
    if (this.#adding && this.#start !== undefined) kept = Math.max(kept, distance(this.#start, this.#filled));
    return kept;
  }

  #waitUntil(holds: () => boolean): void {
    const { words } = this.#shared;
    for (;;) {
      const before = Atomics.load(words, word.wakeWriter);
      if (Atomics.load(words, word.failed) !== 0) throw new Error("the hasher's thread has failed");
      if (holds()) return;
      Atomics.wait(words, word.wakeWriter, before);
    }
  }
}

const { memory, root } = workerData as WriterData;
const port = parentPort;
if (port === null) throw new Error("this is a worker's file");
const answer = (message: WriterAnswer) => port.postMessage(message);
answer({ kind: "loaded" });
const defaults = readDefaults();
const ring = new Ring(memory, defaults);
const { progress } = share(memory);
const rootFd = openHostFolder(root);
const writer = new TreeWriter({
  root: rootFd,
  defaults,
  warn: (text) => answer({ kind: "warning", text }),
  smallFiles: ring,
});

function writeLayer(fd: number): number {
  let size = 0;
  writer.startLayer();
  const tar = new TarReader(writer);
  for (let bytes = ring.read(fd); bytes !== undefined; bytes = ring.read(fd)) {
    size += bytes.length;
    tar.write(bytes);
    progress[counted.entries] = writer.written.entries;
    progress[counted.bytes] = writer.written.bytes;
  }
  tar.end();
  ring.endLayer();
  return size;
}

port.on("message", ({ layer }: WriterRequest) => {
  try {
    if (layer === undefined) {
      writer.finish();
      writer.closeAll();
      close(rootFd);
      answer({ kind: "finished" });
    } else {
      answer({ kind: "layer", size: writeLayer(layer) });
    }
  } catch (thrown) {
    answer({ kind: "failed", failure: describeFailure(thrown) });
  }
});
