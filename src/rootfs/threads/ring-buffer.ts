import type { TarTime } from "../tar/entry.ts";

/**
 * What the three threads of an unpacking share. The filler brings a layer's plain bytes into `ring`; the writer reads
 * the tar in it there, and writes folders, links and large files; the hasher takes the diff ID of the same bytes, and
 * makes small files, whose content is in the ring as well. So no byte is copied between them.
 *
 * Positions count the bytes of a layer modulo 2^32; their differences are small, so `distance` is exact.
 */
export interface Shared {
  readonly words: Int32Array<SharedArrayBuffer>;
  /** {@link Progress} of the writer, read by whoever shows it. */
  readonly progress: Float64Array<SharedArrayBuffer>;
  readonly digest: Uint8Array<SharedArrayBuffer>;
  readonly jobs: SharedArrayBuffer;
  readonly ring: Buffer<SharedArrayBuffer>;
}

/** The first thing that a worker says: its modules are there. A thread that is ended before crashes in koffi's. */
export interface Loaded {
  readonly kind: "loaded";
}

/** Memory as it is handed to a thread. */
export interface SharedMemory {
  readonly control: SharedArrayBuffer;
  readonly jobs: SharedArrayBuffer;
  readonly ring: SharedArrayBuffer;
}

/** Indexes of `words`. */
export const word = {
  /** Position up to which the ring holds bytes. */
  filled: 0,
  /** Position up to which they are hashed. */
  hashed: 1,
  /** Jobs given to the hasher, and done by it; modulo 2^32. */
  given: 2,
  done: 3,
  /** What the hasher is asked for besides: one of `request`. */
  request: 4,
  /** Not 0 once one of the threads can't go on, so that the others needn't. */
  failed: 5,
  /** Count what happens, for the other threads to wait for. */
  wakeHasher: 6,
  wakeWriter: 7,
  wakeProducer: 8,
  /** Position up to which the writer needs nothing, for itself or for the jobs it has given. */
  needed: 9,
  /** Layers whose bytes were all brought. */
  ended: 10,
} as const;

export const request = { none: 0, digest: 1, end: 2 } as const;

/** Indexes of `progress`. */
export const counted = { entries: 0, bytes: 1 } as const;

/** A power of two: bridges a thread that waits for a processor, and is small beside what Node takes. */
const ringSize = 8 * 1024 * 1024;
export const jobsLimit = 128;
const jobNumbers = 16;
const jobBytes = jobNumbers * 8 + 256;

export function allocate(): SharedMemory {
  return {
    control: new SharedArrayBuffer(256),
    jobs: new SharedArrayBuffer(jobsLimit * jobBytes),
    ring: new SharedArrayBuffer(ringSize),
  };
}

export function share({ control, jobs, ring }: SharedMemory): Shared {
  return {
    words: new Int32Array(control, 0, 16),
    progress: new Float64Array(control, 64, 4),
    digest: new Uint8Array(control, 128, 32),
    jobs,
    ring: Buffer.from(ring),
  };
}

/** How far `to` is behind `from`. */
export function distance(from: number, to: number): number {
  return (to - from) | 0;
}

/** Tells a thread that something has changed. */
export function wake({ words }: Shared, index: number): void {
  Atomics.add(words, index, 1);
  Atomics.notify(words, index);
}

/** Waits until something holds, looking each time the thread is woken. Answers false once another one has failed. */
export function waitUntil({ words }: Shared, index: number, holds: () => boolean): boolean {
  for (;;) {
    const before = Atomics.load(words, index);
    if (Atomics.load(words, word.failed) !== 0) return false;
    if (holds()) return true;
    Atomics.wait(words, index, before);
  }
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

/** The queue of jobs: numbers and a name each, in a place of fixed size. */
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
