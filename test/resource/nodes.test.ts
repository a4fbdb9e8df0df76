import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ranked } from "../../src/builder/engine/nodes.ts";
import { nativePlatform } from "../support/images/image-writer.ts";
import { gone } from "../support/runs/processes.ts";
import { makeSite, metadataOf, result } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, versionOf } from "../support/runs/resource.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { answers, type Faulty, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const native = `linux/${nativePlatform.architecture}`;
const foreign = native === "linux/amd64" ? "linux/arm64" : "linux/amd64";
/** Builds for any platform without running anything of it. */
const portable = "FROM scratch\nARG TARGETPLATFORM\nLABEL built=$TARGETPLATFORM\nCOPY Dockerfile /\n";

interface Index {
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform?: { readonly architecture: string };
  }[];
}

test("each platform is built on the node that has it, into one index, in a directory and in a registry", async () => {
  await using one = await startBuildkitd();
  await using two = await startBuildkitd();
  await using registry = await startRegistry();
  const nodes = [
    { address: one.address, platforms: [native] },
    { address: two.address, platforms: [foreign] },
  ];
  const versions: string[] = [];
  for (const store of [undefined, { repository: `${registry.host}/team/app`, insecure: true }]) {
    await using site = await makeSite(portable, store);
    const run = await site.put({ platforms: [native, foreign], source_date_epoch: 1 }, { nodes });
    assert.match(run.stderr, new RegExp(`building ${native} with BuildKit at ${one.address}`));
    assert.match(run.stderr, new RegExp(`building ${foreign} with BuildKit at ${two.address}`));
    const { version } = versionOf(run);
    versions.push(version.digest);
    assert.equal(metadataOf(run, "platforms"), `${native}, ${foreign}`);
    const folder = await site.get(run, { output_oci: true });
    const layout: Index = JSON.parse(await readFile(join(folder, "image/index.json"), "utf8"));
    const top = layout.manifests[0]?.digest.replace(":", "/") ?? "";
    const index: Index = JSON.parse(await readFile(join(folder, "image/blobs", top), "utf8"));
    assert.deepEqual(
      index.manifests.map(({ platform }) => `linux/${platform?.architecture}`),
      [native, foreign],
    );
  }
  assert.equal(versions[0], versions[1]);
});

test("a node that doesn't answer is passed over, and that is said", async () => {
  await using alive = await startBuildkitd();
  await using site = await makeSite("RUN echo done > /result\n");
  const dead = "tcp://127.0.0.1:1";
  const names = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
  const subject = `directory ${join(site.folder, "builds")}\0`;
  // A target for which the dead one comes first.
  const isFirst = (target: string) =>
    ranked([dead, alive.address], `${subject}${target}`, (address) => address)[0] === dead;
  const target = names.find(isFirst);
  assert.ok(target !== undefined);
  await using other = await makeSite(`FROM shell AS ${target}\nRUN echo done > /result\n`);
  const source = {
    directory: join(site.folder, "builds"),
    nodes: [dead, alive.address].map((address) => ({ address, platforms: [native] })),
  };
  const run = await other.put({ target }, source);
  assert.match(
    run.stderr,
    /BuildKit at tcp:\/\/127\.0\.0\.1:1 can't be used: .*Check that this address is right.*trying another/,
  );
  assert.match(run.stderr, new RegExp(`building with BuildKit at ${alive.address}`));
});

test("when a node dies in the middle the build is done once more on the next, and that is said", async () => {
  await using one = await startBuildkitd();
  await using two = await startBuildkitd();
  await using site = await makeSite(
    "RUN --mount=type=secret,id=wait echo running; [ ! -s /run/secrets/wait ] || sleep 600; echo done > /result\n",
  );
  const daemons = [one, two];
  const nodes = daemons.map(({ address }) => ({ address, platforms: [native] }));
  const put = await site.startPut({ secrets: { wait: { text: "yes" } } }, { nodes });
  await put.wrote(/\] running/);
  const first = daemons.find(({ address }) => put.output().includes(`building with BuildKit at ${address}`));
  const second = daemons.find((daemon) => daemon !== first);
  await first?.kill();
  await put.wrote(
    new RegExp(
      `can't be used: .*building once more, elsewhere(.|\\n)*building with BuildKit at ${second?.address}`,
    ),
  );
  await put.wrote(/elsewhere(.|\n)*\] running/);
  await second?.kill();
  assertFailedCleanly(await put.result, /BuildKit at .* can't be used/);
});

/** Runs on the node's own machine, for whatever platform; what the step does first is given. */
const working = (first: string) => `FROM --platform=$BUILDPLATFORM shell AS work
ARG TARGETPLATFORM
RUN ${first}; echo $TARGETPLATFORM > /result
FROM scratch
COPY --from=work /result /
`;

test("of three nodes one dies in the middle: its platform is built on its equal, and one index is stored", async () => {
  const config = 'insecure-entitlements = ["network.host"]\n';
  await using one = await startBuildkitd({ config });
  await using two = await startBuildkitd({ config });
  await using other = await startBuildkitd({ config });
  await using registry = await startRegistry();
  // Steps ask here before they go on; the first two of them wait.
  await using gate = await startFaultProxy("http://127.0.0.1:1");
  const held: Faulty[] = [];
  const { promise: areHeld, resolve } = Promise.withResolvers<void>();
  gate.inject(
    { when: () => true, times: 2, happens: (faulty) => void (held.push(faulty) === 2 && resolve()) },
    { when: () => true, happens: answers(200) },
  );
  const store = { repository: `${registry.host}/app`, insecure: true };
  await using site = await makeSite(working(`wget -q -O /dev/null ${gate.url}/$TARGETPLATFORM`), store);
  const equals = [one, two];
  const nodes = [
    ...equals.map(({ address }) => ({ address, platforms: [native] })),
    { address: other.address, platforms: [foreign] },
  ];
  const params = { platforms: [native, foreign], network: "host", allow: ["network.host"] };
  const put = await site.startPut(params, { nodes });
  // Both platforms are at work at the same time.
  await areHeld;
  const first = equals.find(({ address }) => put.output().includes(`${native} with BuildKit at ${address}`));
  await first?.kill();
  await put.wrote(new RegExp(`can't be used: .*; building ${native} once more, elsewhere`));
  for (const { response } of held) response.end();
  const run = await put.result;
  assert.equal(metadataOf(run, "platforms"), `${native}, ${foreign}`);
  for (const platform of [native, foreign]) {
    const folder = await site.get(run, { unpack_rootfs: true, platform });
    assert.equal(await result(folder), `${platform}\n`);
  }
});

test("an abort ends the steps on every node", async () => {
  await using one = await startBuildkitd();
  await using two = await startBuildkitd();
  const mark = `NODES_MARK_${crypto.randomUUID().replaceAll("-", "")}`;
  await using site = await makeSite(working(`echo running; ${mark}=1 busybox sleep 600`));
  const nodes = [
    { address: one.address, platforms: [native] },
    { address: two.address, platforms: [foreign] },
  ];
  const put = await site.startPut({ platforms: [native, foreign] }, { nodes });
  await put.wrote(/\] running(.|\n)*\] running/);
  put.kill("SIGTERM");
  const run = await put.result;
  assert.notEqual(run.status, 0);
  assert.equal(run.stdout, "");
  await gone(mark);
});

test("a platform that no node has is refused with those there are, unless a node emulates it", async () => {
  await using daemon = await startBuildkitd({ platforms: [native] });
  await using emulating = await startBuildkitd({ platforms: [native, foreign] });
  await using site = await makeSite(portable);
  const on = (address: string) => ({ nodes: [{ address, platforms: [native] }] });
  assertFailedCleanly(
    await site.put({ platforms: [foreign] }, on(daemon.address)),
    new RegExp(`no node builds for platform ${foreign}.*${daemon.address} \\(${native}\\)`),
  );
  const run = await site.put({ platforms: [foreign] }, on(emulating.address));
  assert.equal(metadataOf(run, "platforms"), foreign);
  assert.match(run.stderr, new RegExp(`no node has platform ${foreign}: it is emulated`));
});

test("the order of equal nodes depends on what is built and not on the other nodes", () => {
  const nodes = ["a", "b", "c", "d"];
  const order = (among: typeof nodes, subject: string) => ranked(among, subject, (address) => address);
  const subjects = Array.from({ length: 200 }, (_, index) => `subject ${index}`);
  for (const subject of subjects) {
    assert.deepEqual(order(nodes.toReversed(), subject), order(nodes, subject));
    assert.deepEqual(
      order(nodes.slice(1), subject),
      order(nodes, subject).filter((address) => address !== "a"),
    );
  }
  const firsts = subjects.map((subject) => order(nodes, subject)[0]);
  for (const node of nodes) assert.ok(firsts.filter((first) => first === node).length > 20);
});

test("without a platform it is the first node's, and additional targets are spread too", async () => {
  await using one = await startBuildkitd();
  await using site = await makeSite("RUN echo main > /result\nFROM shell AS test\nRUN echo test > /result\n");
  const run = await site.put(
    { target: "shell", additional_targets: ["test"] },
    { nodes: [{ address: one.address, platforms: [native] }] },
  );
  const folder = await site.get(run);
  assert.equal(await result(folder), "main\n");
  assert.equal(await result(join(folder, "test")), "test\n");
});
