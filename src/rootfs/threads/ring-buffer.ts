import type { TarTime } from "../../image/tar/entry.ts";

/**
 * What the threads of an unpacking share. The producer brings a layer's plain bytes into `ring`. The writer reads
 * the tar there, and writes folders, links and files. Whoever would wait for the other does what both leave for that:
 * hash the same bytes for the diff ID, and make small files, whose content is also in the ring. So no byte is copied
 * between threads.
 *
 * Positions count the plain bytes of all layers modulo 2^32. Their differences are small, so `distance` is exact.
 */
export interface Shared {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** Counts of the writer for the log, at the indexes of {@link counted}. */
  readonly progress: Float64Array<SharedArrayBuffer>;
  /** The state of a `Sha256`, for the digest of the layer's plain bytes. */
  readonly hashState: Uint8Array<SharedArrayBuffer>;
  /** The digest of the layer's plain bytes, once the layer is written. */
  readonly digest: Uint8Array<SharedArrayBuffer>;
  readonly jobs: SharedArrayBuffer;
  readonly ring: Buffer<SharedArrayBuffer>;
}

/**
 * The first message of a worker: its modules are loaded. Ending a thread before that would crash in koffi's
 * loading.
 */
export interface Loaded {
  readonly kind: "loaded";
}

/** The memory as it is passed to a thread. */
export interface SharedMemory {
  readonly control: SharedArrayBuffer;
  readonly jobs: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
}

/** Indexes of `words`. */
export const word = {
  /** Position up to which the ring holds bytes. */
  filled: 0,
  /** Position up to which bytes are hashed. The producer moves it while it brings what is `unhashed`. */
  hashed: 1,
  /** Number of jobs left by the writer, and done; modulo 2^32. */
  given: 2,
  done: 3,
  /** 1 while a thread hashes or does a job: one at a time. 2 if the other thread wanted to meanwhile. */
  busy: 4,
  /** Not 0 once a thread has failed, so that the others stop waiting. */
  failed: 5,
  /** Not 0 once the digest of the layer's plain bytes has been begun. */
  begun: 6,
  /** Counters of events that the named thread waits for. */
  wakeWriter: 7,
  wakeProducer: 8,
  /** Position before which neither the writer nor its unfinished jobs need any bytes. */
  needed: 9,
  /** Number of layers whose bytes have all been brought. */
  ended: 10,
  /** Not 0 if nobody needs the digest of the layer's plain bytes. */
  unhashed: 11,
} as const;

/** Indexes of `progress`. */
export const counted = { entries: 0, bytes: 1 } as const;

/** A power of two. Large enough for a thread to wait for a processor, and small beside what Node needs. */
const ringSize = 4 * 1024 * 1024;
export const jobsLimit = 128;
const jobNumbers = 16;
const jobBytes = jobNumbers * 8 + 256;

export function allocate(): SharedMemory {
  return {
    control: new SharedArrayBuffer(512),
    jobs: new SharedArrayBuffer(jobsLimit * jobBytes),
    ring: new SharedArrayBuffer(ringSize),
  };
}

export function share({ control, jobs, ring }: SharedMemory): Shared {
  return {
    words: new Int32Array(control, 0, 16),
    progress: new Float64Array(control, 64, 4),
    digest: new Uint8Array(control, 128, 32),
    hashState: new Uint8Array(control, 256, 128),
    jobs,
    ring: Buffer.from(ring),
  };
}

/** How many bytes `to` is after `from`. */
export function distance(from: number, to: number): number {
  return (to - from) | 0;
}

/** Tells a thread that something has changed. */
export function wake({ words }: Shared, index: number): void {
  Atomics.add(words, index, 1);
  Atomics.notify(words, index);
}

/** A small file to be made. */
export interface Job {
  readonly dirfd: number;
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: TarTime;
  readonly atime: TarTime | undefined;
  /** Position of its content. */
  readonly start: number;
  readonly length: number;
}

/** The queue of jobs. Each has a slot of fixed size for its numbers and its name. */
export class JobQueue {
  readonly #numbers: Float64Array[] = [];
  readonly #names: Buffer[] = [];

  constructor(memory: SharedArrayBuffer) {
    for (let at = 0; at < jobsLimit; at++) {
      this.#numbers.push(new Float64Array(memory, at * jobBytes, jobNumbers));
      this.#names.push(Buffer.from(memory, at * jobBytes + jobNumbers * 8, 256));
    }
  }

  write(index: number, { name, mtime, atime = mtime, ...job }: Job): void {
    const numbers = this.#numbers[index & (jobsLimit - 1)] as Float64Array;
    numbers[0] = job.dirfd;
    numbers[1] = job.mode;
    numbers[2] = job.uid;
    numbers[3] = job.gid;
    numbers[4] = mtime.seconds;
    numbers[5] = mtime.nanoseconds;
    numbers[6] = atime.seconds;
    numbers[7] = atime.nanoseconds;
    numbers[8] = job.start;
    numbers[9] = job.length;
    numbers[10] = name.length;
    (this.#names[index & (jobsLimit - 1)] as Buffer).write(name, 0, "latin1");
  }

  read(index: number): Job {
    const numbers = this.#numbers[index & (jobsLimit - 1)] as Float64Array;
    const [dirfd = 0, mode = 0, uid = 0, gid = 0] = numbers;
    const time = (at: number) => ({ seconds: numbers[at] ?? 0, nanoseconds: numbers[at + 1] ?? 0 });
    const names = this.#names[index & (jobsLimit - 1)] as Buffer;
    return {
      dirfd,
      mode,
      uid,
      gid,
      mtime: time(4),
      atime: time(6),
      start: this.start(index),
      length: numbers[9] ?? 0,
      name: names.toString("latin1", 0, numbers[10]),
    };
  }

  start(index: number): number {
    return this.#numbers[index & (jobsLimit - 1)]?.[8] ?? 0;
  }
}
