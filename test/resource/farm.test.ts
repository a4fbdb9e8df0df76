import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { nativePlatform } from "../support/images/image-writer.ts";
import { newMark, started } from "../support/runs/processes.ts";
import { makeSite, metadataOf, result } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run } from "../support/runs/resource.ts";
import { type BuildkitOptions, startBuildkitd } from "../support/servers/buildkit.ts";
import { createAuthority } from "../support/servers/certificates.ts";

const native = `linux/${nativePlatform.architecture}`;
const foreign = native === "linux/amd64" ? "linux/arm64" : "linux/amd64";
const name = "buildkitd.farm.example";

/** A port that is free on loopback addresses. */
async function freePort(): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "0.0.0.0", resolve);
  await promise;
  const bound = server.address();
  server.close();
  if (bound === null || typeof bound === "string") throw new Error("no port");
  return bound.port;
}

/** Three daemons at loopback addresses of their own, with certificates for the one name that leads to them. */
async function startFarm(options: readonly BuildkitOptions[]) {
  await using held = new AsyncDisposableStack();
  const authority = held.use(await createAuthority());
  const port = await freePort();
  const tls = await authority.server(name);
  const daemons = await Promise.all(
    options.map(async (own, index) =>
      held.use(await startBuildkitd({ listen: "tcp", at: `127.0.0.${index + 2}:${port}`, tls, ...own })),
    ),
  );
  const client = await authority.client("worker");
  const [ca, cert, key] = await Promise.all(
    [authority.ca, client.cert, client.key].map((file) => readFile(file, "utf8")),
  );
  const owned = held.move();
  return {
    daemons,
    buildkit: { address: `tcp://${name}:${port}`, resolve: "all", tls: { ca, cert, key } },
    /** Stops a daemon's process: the kernel still accepts connections to it, and nothing answers. */
    freeze(ip: string): { readonly address: string } & AsyncDisposable {
      const daemon = daemons.find(({ address }) => address.includes(`//${ip}:`));
      if (daemon === undefined) throw new Error(`no daemon at ${ip}`);
      const { address, pid } = daemon;
      process.kill(pid, "SIGSTOP");
      return { address, [Symbol.asyncDispose]: async () => void process.kill(pid, "SIGCONT") };
    },
    /** Runs a program where the name leads to these addresses. */
    async resolving(folder: string, addresses = daemons.map((_, index) => `127.0.0.${index + 2}`)) {
      const hosts = join(folder, "hosts");
      await writeFile(hosts, addresses.map((address) => `${address} ${name}\n`).join(""));
      const script = 'mount --bind "$1" /etc/hosts && shift && exec "$@"';
      return { under: ["unshare", "--mount", "sh", "-c", script, "sh", hosts] };
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function builtAt({ stderr }: Run): string | undefined {
  return /building with BuildKit at tcp:\/\/([\d.]+):/.exec(stderr)?.[1];
}

test("every address behind a name is a daemon: an image keeps its own, whatever the order and however many there are", async () => {
  await using farm = await startFarm([{}, {}, {}]);
  await using site = await makeSite("ARG round\nRUN echo $round > /result\n");
  const { buildkit } = farm;
  const put = async (addresses?: string[]) =>
    site.put({ build_args: { round: "1" } }, { buildkit }, await farm.resolving(site.folder, addresses));
  const first = await put();
  assert.equal(await result(await site.get(first)), "1\n");
  const own = builtAt(first);
  assert.ok(own !== undefined);
  const others = ["127.0.0.2", "127.0.0.3", "127.0.0.4"].filter((address) => address !== own);
  const second = await put([own, ...others].toReversed());
  assert.equal(builtAt(second), own);
  assert.match(metadataOf(second, "steps") ?? "", /^0 run/);
  assert.equal(builtAt(await put([others[0] ?? "", own])), own);
  // Without its own it goes to another, and back when that has come again.
  assert.ok(others.includes(builtAt(await put(others)) ?? ""));
  assert.equal(builtAt(await put()), own);
  await farm.daemons[Number(own.split(".")[3]) - 2]?.kill();
  const moved = await put();
  assert.ok(others.includes(builtAt(moved) ?? ""));
  assert.match(
    moved.stderr,
    new RegExp(`warning: BuildKit at tcp://${own}:\\d+ doesn't answer; trying another`),
  );
});

test("of three daemons, the one with enough builds and the one that is frozen are passed over, and neither keeps a put from ending", async () => {
  const config = "[worker.oci]\nmax-parallelism = 1\n";
  await using farm = await startFarm([{ config }, { config }, { config }]);
  await using site = await makeSite(
    "RUN --mount=type=secret,id=wait echo running; [ ! -s /run/secrets/wait ] || sleep 600; echo done > /result\n",
  );
  const source = { buildkit: { ...farm.buildkit, max_builds: 1 } };
  const where = await farm.resolving(site.folder);
  // Its one step at a time is taken, so a build that went there would wait for ten minutes.
  const waiting = await site.startPut({ secrets: { wait: { text: "yes" } } }, source, where);
  await waiting.wrote(/\] running/);
  const busy = /BuildKit at tcp:\/\/([\d.]+):/.exec(waiting.output())?.[1];
  const second = builtAt(await site.put({ no_cache: true }, source, where));
  assert.ok(second !== undefined && second !== busy);
  await using frozen = farm.freeze(second);
  await using lonely = await makeSite("");
  const alone = await farm.resolving(lonely.folder, [second]);
  const [third, refused] = await Promise.all([
    site.put({ no_cache: true }, source, where),
    lonely.put({}, source, alone),
  ]);
  assert.ok(![busy, second].includes(builtAt(third)), third.stderr);
  assert.match(
    third.stderr,
    new RegExp(`warning: BuildKit at ${frozen.address} doesn't answer; trying another`),
  );
  assert.equal(await result(await site.get(third)), "done\n");
  assertFailedCleanly(refused, /the only address of .* can't be used: .*no answer within/);
  for (const { milliseconds } of [third, refused]) assert.ok(milliseconds < 60_000, `${milliseconds} ms`);
  const mark = newMark();
  const asking = await lonely.startPut({}, source, { ...alone, env: { [mark]: "1" } });
  await started(mark, /^buildctl\0/);
  // And the daemon of the first put, in the middle of its build.
  await using _ = farm.freeze(busy ?? "");
  for (const put of [asking, waiting]) {
    const begun = performance.now();
    put.kill("SIGTERM");
    await put.result;
    const took = performance.now() - begun;
    assert.ok(took < 10_000, `${took} ms`);
  }
});

test("platforms are asked of the daemons, and a put to a mixed farm has to name one", async () => {
  await using farm = await startFarm([{ platforms: [native, foreign] }, { platforms: [foreign] }]);
  await using site = await makeSite("FROM scratch\nCOPY Dockerfile /\n");
  const where = await farm.resolving(site.folder);
  const { buildkit } = farm;
  const both = await site.put({ platforms: [native, foreign] }, { buildkit }, where);
  assert.match(both.stderr, new RegExp(`building ${native} with BuildKit at tcp://127.0.0.2:`));
  assert.match(both.stderr, new RegExp(`building ${foreign} with BuildKit at tcp://127.0.0.3:`));
  assert.equal(metadataOf(both, "platforms"), `${native}, ${foreign}`);
  assertFailedCleanly(
    await site.put({}, { buildkit }, where),
    /have different platforms \(linux\/amd64, linux\/arm64\)/,
  );
  assertFailedCleanly(
    await site.put({ platforms: ["linux/s390x"] }, { buildkit }, where),
    /none of the 2 daemons behind .* builds for platform linux\/s390x/,
  );
});

test("names that lead nowhere, certificates for another name and daemons that are gone are told", async () => {
  await using farm = await startFarm([{}]);
  await using site = await makeSite("RUN echo done > /result\n");
  const { buildkit } = farm;
  const nowhere = await site.put({}, { buildkit: { ...buildkit, address: "tcp://nowhere.invalid:1234" } });
  assertFailedCleanly(nowhere, /buildkit\.address: the name nowhere\.invalid can't be resolved/);
  const port = buildkit.address.split(":").at(-1);
  const where = await farm.resolving(site.folder, ["127.0.0.2"]);
  await writeFile(join(site.folder, "hosts"), "127.0.0.2 other.example\n");
  const other = { ...buildkit, address: `tcp://other.example:${port}` };
  assertFailedCleanly(
    await site.put({}, { buildkit: other }, where),
    /the only address of tcp:\/\/other\.example.*certificate is valid for/,
  );
  assertFailedCleanly(
    await site.put({}, { buildkit: { address: "unix:///x", resolve: "all" } }),
    /tcp:\/\/name:port/,
  );
});
