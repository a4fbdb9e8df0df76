import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import { runResource, versionOf } from "../support/runs/resource.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

/** A way to a daemon that counts the bytes that clients send. */
async function startCounter(to: string) {
  let sent = 0;
  const { hostname, port } = new URL(to.replace(/^tcp:/, "http:"));
  const server = createServer((client) => {
    const daemon = connect(Number(port), hostname);
    client.on("data", (bytes) => (sent += bytes.length));
    client.pipe(daemon).pipe(client);
    for (const [one, other] of [
      [client, daemon],
      [daemon, client],
    ] as const)
      one.on("error", () => other.destroy()).on("close", () => other.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `tcp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sent: () => sent,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}

test("a second put to a BuildKit that runs already sends only what changed, from another container too", async () => {
  await using daemon = await startBuildkitd({ listen: "tcp" });
  await using counter = await startCounter(daemon.address);
  await using folder = await createPrivateFolder("test-warm-context");
  const random = randomFrom(7);
  const first = join(folder.path, "first");
  await mkdir(join(first, "app"), { recursive: true });
  await writeFile(join(first, "app/Dockerfile"), "FROM scratch\nCOPY . /\n");
  for (let at = 0; at < 50; at++)
    await writeFile(join(first, `app/file-${at}`), randomBytes(random, 100_000));
  const source = { directory: join(folder.path, "builds"), buildkit: { address: counter.address } };
  const put = async (inputs: string) => {
    const before = counter.sent();
    // Each container has a home of its own.
    const env = { HOME: join(inputs, "home") };
    versionOf(
      await runResource("out", { args: [inputs], stdin: { source, params: { context: "app" } }, env }),
    );
    return counter.sent() - before;
  };
  const whole = await put(first);
  assert.ok(whole > 5_000_000, `${whole} bytes`);
  const second = join(folder.path, "second");
  // Concourse hands inputs on as archives, which keep times. Node's cp cuts them to microseconds.
  await execa("cp", ["-a", first, second]);
  await writeFile(join(second, "app/file-7"), randomBytes(random, 100_000));
  const rest = await put(second);
  assert.ok(rest > 100_000 && rest < 250_000, `${rest} bytes`);
});
