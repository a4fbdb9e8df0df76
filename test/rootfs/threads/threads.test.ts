import assert from "node:assert/strict";
import { mkdirSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { Arrival } from "../../../src/image/arrival.ts";
import { digestOf } from "../../../src/image/digest.ts";
import type { OpenLayer } from "../../../src/rootfs/layer/open-layer.ts";
import { Threads } from "../../../src/rootfs/threads/threads.ts";
import { createTestStep } from "../../support/runs/test-step.ts";
import { file, folder, symlink } from "../../support/tar/members.ts";
import { rawTar } from "../../support/tar/raw-tar.ts";

/** A plain layer in a file, of which no more than these bytes arrive until it is disposed of. */
function arriving(path: string, bytes: Buffer, isEnd: boolean): OpenLayer {
  writeFileSync(path, bytes);
  const arrival = new Arrival();
  arrival.tell(bytes.length, isEnd);
  return {
    isReadOnce: true,
    take: () => ({
      fd: openSync(path, "r"),
      compression: "none",
      file: { start: 0, arrival: arrival.memory, isVerified: true },
    }),
    finished: async () => {},
    throwIfDamaged: async () => assert.fail("bytes that have not arrived are waited for"),
    [Symbol.asyncDispose]: async () => arrival.stop(),
  };
}

test("a small file that the writer can't make fails the unpacking at once, although no more of the layer arrives", {
  timeout: 60_000,
}, async () => {
  await using place = await createPrivateFolder("test-threads");
  const root = join(place.path, "rootfs");
  mkdirSync(root);
  await using threads = new Threads(createTestStep());
  const of = { root, digest: digestOf(Buffer.of()), isHashed: true };
  {
    await using before = arriving(join(place.path, "before"), rawTar([folder("d"), file("d/a", "a")]), true);
    await threads.write(before, of);
  }
  rmSync(join(root, "d"), { recursive: true });
  // While the writer makes links, over half of the ring is filled. So it leaves the small files for when it waits.
  const tar = rawTar([
    ...Array.from({ length: 1200 }, (_, at) => symlink(`link-${at}`, "to")),
    ...Array.from({ length: 10 }, (_, at) => file(`d/${at}`, "small")),
    file("large", "x".repeat(2_600_000)),
    file("small-too", "y"),
  ]);
  await using stalled = arriving(join(place.path, "stalled"), tar.subarray(0, -512), false);
  await assert.rejects(threads.write(stalled, of), { code: "ENOENT" });
});
