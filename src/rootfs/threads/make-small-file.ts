import { type Defaults, finishFile, modeAtFirst } from "../attributes.ts";
import { close, createFile, setTimes, writeAll } from "../syscalls.ts";
import type { Job } from "./ring-buffer.ts";

/** Makes a small file whose content is in the ring. If owner and mode need no change, it takes four calls. */
export function makeSmallFile(job: Job, ring: Buffer, defaults: Defaults): void {
  const fd = createFile(job.dirfd, job.name, modeAtFirst(job.mode));
  try {
    const start = job.start & (ring.length - 1);
    const end = start + job.length;
    writeAll(fd, ring.subarray(start, Math.min(end, ring.length)));
    if (end > ring.length) writeAll(fd, ring.subarray(0, end - ring.length));
    finishFile(fd, job, defaults);
    setTimes(fd, job.mtime, job.atime);
  } finally {
    close(fd);
  }
}
