import assert from "node:assert/strict";
import { setImmediate as nextTurn } from "node:timers/promises";

/** Waits until something is so; asking is all that can be done about processes and files of others. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  seconds = 30,
): Promise<void> {
  const deadline = performance.now() + seconds * 1000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `never: ${what}`);
    await nextTurn();
  }
}
