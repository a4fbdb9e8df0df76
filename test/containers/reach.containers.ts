import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Container, startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { putOf } from "../support/containers/puts.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { until } from "../support/runs/wait-until.ts";

/** One container for each way that BuildKit runs. */
const kinds: readonly ContainerKind[] = ["full", "unprivileged-on-fuse-only", "unprivileged"];

/** What a step may have beside BuildKit: servers on loopback and on a socket without a file. */
const neighbours = `const { createServer } = require("node:net");
const [tcp, abstract] = [createServer(), createServer()];
tcp.listen(4711, "127.0.0.1", () => abstract.listen("\\0step-socket", () => console.log("listening")));`;

const looking = `FROM debian:bookworm-slim
RUN perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); print "loopback ", connect(S, sockaddr_in(4711, inet_aton("127.0.0.1"))) ? "yes" : "no"; socket(U, PF_UNIX, SOCK_STREAM, 0); print ", abstract socket ", connect(U, pack_sockaddr_un("\\0step-socket")) ? "yes" : "no"'; \\
    echo ", processes $(cat /proc/[0-9]*/comm | grep -cxE 'buildkitd|buildctl|runsc.*|node|MainThread|exe'), folders $(ls -A /tmp /scratch 2>/dev/null | grep -c oci-build)"
RUN --mount=type=secret,id=file --mount=type=secret,id=variable,env=VARIABLE cat /run/secrets/file > /dev/null; echo run""ning; sleep 600
`;

async function writeLooking(container: Container): Promise<void> {
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), looking);
  await container.own(container.build);
}

for (const kind of kinds) {
  // A network of its own would take rights that a step without privileges hasn't, or a slower one in user space.
  const abstract = kind === "unprivileged" ? "no" : "yes";

  test(`in a container of the kind ${kind} a RUN reaches the step's loopback, and no process or folder of it; SIGKILL ends all`, async () => {
    await using hub = await startDockerHub();
    await using container = await startContainer(kind, { ports: [Number(new URL(hub.url).port)] });
    await writeLooking(container);
    const { child: servers } = await container.start(["node", "-e", neighbours]);
    await Promise.race([once(servers.stdout, "data"), servers]);
    const source = { directory: "/tmp/builds", registry_mirrors: [hub.url] };
    const { child } = await container.start(
      ...putOf(source, {
        secrets: { file: { text: "canary-of-file" }, variable: { text: "canary-of-variable" } },
      }),
    );
    let log = "";
    const running = Promise.withResolvers<void>();
    child.stderr.on("data", (bytes: Buffer) => {
      log += bytes.toString();
      if (/\] running/.test(log)) running.resolve();
    });
    await Promise.race([running.promise, child]);
    assert.ok(log.includes(`loopback yes, abstract socket ${abstract}, processes 0, folders 0`), log);
    await container.kill(/main\.mjs out/);
    await child;
    await container.kill(/step-socket/);
    await servers;
    await until(async () => (await container.processes()).length === 0, "every process ends with the step");
    // What is left is in folders that go with the container, and for root alone. runc gets variables by a file, which
    // is in BuildKit's state.
    const places = {
      "canary-of-file": /^\/tmp\/oci-build-/,
      "canary-of-variable": /^\/(tmp|scratch)\/oci-build-/,
    };
    for (const [canary, place] of Object.entries(places)) {
      const excluded = ["proc", "sys", "dev"].map((name) => `--exclude-dir=${name}`);
      const { stdout } = await container.exec(["grep", "-rlsa", canary, "/", ...excluded]);
      const found = stdout.split("\n").filter(Boolean);
      assert.ok(found.length > 0, canary);
      for (const file of found) assert.match(file, place, canary);
    }
    const others = await container.exec([
      "find",
      "/tmp",
      "/scratch",
      "-maxdepth",
      "1",
      "-name",
      "oci-build-*",
      "-perm",
      "/077",
    ]);
    assert.equal(others.stdout, "");
  });
}
