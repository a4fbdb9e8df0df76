import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type DiffId, digestOf } from "../../src/image/digest.ts";
import { unpackRootfs } from "../../src/rootfs/unpack.ts";
import { type Entry, packTar } from "../support/images/image-writer.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { createTestStep } from "../support/runs/test-step.ts";

test("files beside empty ones keep their content however far behind the second thread is", async () => {
  const random = randomFrom(11);
  const noise = randomBytes(random, 1 << 20);
  const members: Entry[] = [];
  for (let at = 0; at < 3000; at++) {
    const length = Math.floor(random() * 60_000);
    const start = Math.floor(random() * (noise.length - length));
    members.push({ name: `file-${at}`, content: noise.subarray(start, start + length) });
    if (random() < 0.1) members.push({ name: `empty-${at}`, content: "" });
  }
  const tar = await packTar(members);
  await using folder = await createPrivateFolder("test-large");
  const destination = join(folder.path, "rootfs");
  await unpackRootfs({
    layers: [
      {
        descriptor: {
          mediaType: "application/vnd.oci.image.layer.v1.tar",
          digest: digestOf(tar),
          size: tar.length,
        },
        diffId: digestOf(tar) as DiffId,
        isProven: false,
        open: async () => Readable.from([tar]),
        file: undefined,
      },
    ],
    destination,
    step: createTestStep(),
  });
  const wrong = members.filter(
    ({ name, content = "" }) => !readFileSync(join(destination, name)).equals(Buffer.from(content)),
  );
  assert.deepEqual(
    wrong.map(({ name }) => name),
    [],
  );
});
