import { workerData } from "node:worker_threads";

/** Ends the process when one seed takes over a minute: the other thread may be in a loop that no timer interrupts. */
const current = workerData as Int32Array;
let last = -1;
setInterval(() => {
  const seed = Atomics.load(current, 0);
  if (seed === last) {
    process.stderr.write(`seed ${seed} hangs\n`, () => process.kill(process.pid, "SIGKILL"));
  }
  last = seed;
}, 60_000);
