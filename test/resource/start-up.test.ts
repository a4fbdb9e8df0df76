import assert from "node:assert/strict";
import { cp, glob, mkdir, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { before, test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { randomBytes, randomFrom } from "../support/runs/random.ts";
import {
  assertFailedCleanly,
  responseOf,
  runResource,
  type StartedRun,
  startResource,
  versionOf,
} from "../support/runs/resource.ts";
import { checkout, toolEnvironment } from "../support/runs/test-step.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [folder, registry, daemon] = await untilTestsEnd(
  createPrivateFolder("test-start-up"),
  startRegistry(),
  startBuildkitd(),
);

/** The executables as the image has them, with the bundle beside them. */
const whole = () => join(folder.path, "resource");
/** The same without what `check`, `in` and `out` run from when there is no snapshot. */
const alone = () => join(folder.path, "snapshot-alone");
/** Those of a checkout, which run its source. */
const inCheckout = join(checkout, "assets");

/** In the environment when the snapshot is made. */
const canary = "canary-of-the-environment";

before(async () => {
  await cp(join(checkout, "assets"), whole(), { recursive: true });
  await execa("node", [join(checkout, "tools/build.ts"), join(whole(), "dist")], {
    env: { ...toolEnvironment(), BUILT_WITH: canary },
  });
  // Node's own cp rounds times.
  await execa("cp", ["-a", whole(), alone()]);
  let removed = 0;
  for await (const file of glob("dist/{check,in,out}-*.mjs", { cwd: alone() })) {
    await rm(join(alone(), file));
    removed++;
  }
  assert.equal(removed, 3);
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(
    join(app, "Dockerfile"),
    "FROM scratch\nARG greeting\nLABEL greeting=$greeting\nCOPY Dockerfile /\n",
  );
  await writeFile(join(app, "args.yml"), "greeting: hello\n");
});

const stores = (): readonly Readonly<Record<string, unknown>>[] => [
  { directory: join(folder.path, "builds") },
  { repository: `${registry.host}/app`, insecure: true },
];

const remote = (store: Readonly<Record<string, unknown>>) => ({
  ...store,
  buildkit: { address: daemon.address },
});

const options = (from: string) => ({ from, env: { NO_COLOR: "1", PATH: toolEnvironment()["PATH"] } });

const putFrom = (from: string, store: Readonly<Record<string, unknown>>, params: unknown) =>
  runResource("out", {
    ...options(from),
    args: [join(folder.path, "put")],
    stdin: { source: remote(store), params },
  });

test("check and out start from the snapshot, and answer as the program does", async () => {
  for (const store of stores()) {
    // The YAML is read in a thread.
    const params = { context: "app", build_args_file: "app/args.yml", reproducible: true };
    const put = await putFrom(alone(), store, params);
    const { version } = versionOf(put);
    const source = { source: remote(store), version };
    assert.deepEqual(responseOf(await runResource("check", { ...options(alone()), stdin: source })), [
      version,
    ]);
    const again = await runResource("out", {
      from: inCheckout,
      args: [join(folder.path, "put")],
      stdin: { source: remote(store), params },
      env: { NO_COLOR: "1" },
    });
    assert.deepEqual(versionOf(again).version, version);
    assert.match(again.stderr, /this version was stored before/);
  }
});

test("a get starts from the snapshot, and delivers in every form what its threads read", async () => {
  const content = randomBytes(randomFrom(1), 3_000_000);
  await writeFile(join(folder.path, "put/app/large"), content);
  const forms = {
    rootfs: { unpack_rootfs: true, image_tar: false },
    image: { output_oci: true },
    "image.tar": { unpack_rootfs: true },
  };
  for (const [index, store] of stores().entries()) {
    const dockerfile = "FROM scratch\nCOPY large /\n";
    const put = await putFrom(alone(), store, { context: "app", dockerfile_inline: dockerfile });
    const { version } = versionOf(put);
    for (const [name, params] of Object.entries(forms)) {
      const got = join(folder.path, `got-${index}-${name}`);
      const stdin = { source: store, version, params };
      versionOf(await runResource("in", { ...options(alone()), args: [got], stdin }));
      assert.ok((await readdir(got)).includes(name));
      if ("unpack_rootfs" in params) assert.ok(content.equals(await readFile(join(got, "rootfs/large"))));
    }
  }
});

test("a get that starts from the snapshot takes its folder, destination and colours from where it runs", async () => {
  const [store = {}] = stores();
  const { version } = versionOf(await putFrom(alone(), store, { context: "app" }));
  const cwd = join(folder.path, "elsewhere");
  await mkdir(cwd);
  const env = { PATH: toolEnvironment()["PATH"] };
  const get = (more: Readonly<Record<string, string>>, params: unknown) =>
    runResource("in", {
      from: alone(),
      env: { ...env, ...more },
      cwd,
      args: ["got"],
      stdin: { source: store, version, params },
    });
  versionOf(await get({}, {}));
  assert.ok((await readdir(join(cwd, "got"))).includes("image.tar"));
  const wrong = { unpack_rotfs: true };
  const coloured = await get({}, wrong);
  assert.ok(coloured.stderr.includes("\u001b["), coloured.stderr);
  assertFailedCleanly(await get({ NO_COLOR: "1" }, wrong), /^error: params: there is no "unpack_rotfs"/m);
});

test("a checkout's executables need no bundle, and find the checkout's tools", async () => {
  const [store = {}] = stores();
  const [from, source] = [inCheckout, remote(store)];
  const put = join(folder.path, "put");
  const { version } = versionOf(
    await runResource("out", { from, args: [put], stdin: { source, params: { context: "app" } } }),
  );
  assert.deepEqual(responseOf(await runResource("check", { from, stdin: { source, version } })), [version]);
  versionOf(await runResource("in", { from, args: [join(folder.path, "got")], stdin: { source, version } }));
  const task = await runResource("build", { from, cwd: put, env: { CONTEXT: "app" } });
  assert.equal(task.status, 0, task.output);
  const pipeline = join(checkout, "examples/registry.yml");
  assert.equal((await runResource("validate", { from, args: [pipeline] })).status, 0);
});

test("a put that starts from the snapshot refuses what is wrong, and takes no colours from when it was made", async () => {
  const [store = {}] = stores();
  const refused = await putFrom(alone(), store, { context: "app", contxt: "app" });
  assertFailedCleanly(refused, /^error: params: there is no param "contxt"/m);
  const failed = await putFrom(alone(), store, {
    context: "app",
    dockerfile_inline: "FROM scratch\nCOPY missing /\n",
  });
  assertFailedCleanly(failed, /missing/);
  const env = { PATH: toolEnvironment()["PATH"] };
  const coloured = await runResource("out", { ...options(alone()), env, stdin: "" });
  assert.ok(coloured.stderr.includes("\u001b["), coloured.stderr);
});

test("what a build says is shown, although it has ended before its daemon has answered", async () => {
  const bin = join(folder.path, "bin");
  const ended = join(bin, "ended");
  await mkdir(bin);
  const path = `${toolEnvironment()["PATH"]}`;
  const { stdout: buildctl } = await execa("which", ["buildctl"], { env: { PATH: path } });
  const script = `#!/bin/sh
case "$*" in
  *" debug info") while ! [ -e "${ended}" ]; do sleep 0.05; done ;;
  *" build "*)
    # As a buildctl from elsewhere, which doesn't state its daemon's version.
    ${buildctl} "$@" 2>"${ended}.log"
    status=$?
    grep -v '^{"buildctl":' "${ended}.log" >&2
    : > "${ended}"
    exit $status
    ;;
esac
exec ${buildctl} "$@"
`;
  await writeFile(join(bin, "buildctl"), script, { mode: 0o755 });
  const env = { NO_COLOR: "1", PATH: `${bin}:${path}` };
  const [store = {}] = stores();
  const put = async (params: unknown) => {
    await rm(ended, { force: true });
    const stdin = { source: remote(store), params };
    return runResource("out", { from: alone(), env, args: [join(folder.path, "put")], stdin });
  };
  const good = await put({ context: "app" });
  versionOf(good);
  assert.match(good.stderr, /COPY Dockerfile/);
  const failed = await put({ context: "app", dockerfile_inline: "FROM scratch\nCOPY missing /\n" });
  assertFailedCleanly(failed, /missing/);
});

test("a put to a BuildKit elsewhere starts buildctl once, which states the versions", async () => {
  const bin = join(folder.path, "counting");
  await mkdir(bin);
  const path = `${toolEnvironment()["PATH"]}`;
  const { stdout: buildctl } = await execa("which", ["buildctl"], { env: { PATH: path } });
  const script = `#!/bin/sh\necho "$*" >> ${bin}/calls\nexec ${buildctl} "$@"\n`;
  await writeFile(join(bin, "buildctl"), script, { mode: 0o755 });
  const [store = {}] = stores();
  const run = await runResource("out", {
    from: alone(),
    env: { NO_COLOR: "1", PATH: `${bin}:${path}` },
    args: [join(folder.path, "put")],
    stdin: { source: remote(store), params: { context: "app" } },
  });
  versionOf(run);
  assert.match(run.stderr, /^building with BuildKit at \S+ \(\d+\.\d+\.\d+\)$/m);
  assert.equal((await readFile(join(bin, "calls"), "utf8")).trimEnd().split("\n").length, 1);
});

/** Aborts a put while it builds, and waits until nothing of it is left. */
async function abort(put: StartedRun): Promise<void> {
  await put.wrote(/building with/);
  put.kill("SIGTERM");
  const run = await put.result;
  assert.equal(run.status, 143, run.output);
  assert.deepEqual(run.leftovers, []);
}

test("a put that starts from the snapshot is aborted in order", async () => {
  const started = await startResource("out", {
    ...options(alone()),
    args: [join(folder.path, "put")],
    stdin: {
      source: remote({ directory: join(folder.path, "aborted") }),
      params: { context: "app", no_cache: true },
    },
  });
  await abort(started);
  assert.deepEqual(await readdir(join(folder.path, "aborted")), []);
});

test("a put that starts from the snapshot kills a buildctl that doesn't end when asked to", async () => {
  const bin = join(folder.path, "stubborn");
  await mkdir(bin);
  const script = `#!/bin/sh
trap "" TERM
echo '{"buildctl":"v99.0.0","buildkitd":"v99.0.0"}' >&2
while :; do sleep 0.1; done
`;
  await writeFile(join(bin, "buildctl"), script, { mode: 0o755 });
  const started = await startResource("out", {
    from: alone(),
    env: { NO_COLOR: "1", PATH: `${bin}:${toolEnvironment()["PATH"]}` },
    args: [join(folder.path, "put")],
    stdin: { source: remote({ directory: join(folder.path, "killed") }), params: { context: "app" } },
  });
  await abort(started);
  assert.deepEqual(await readdir(join(folder.path, "killed")), []);
});

test("a snapshot holds no environment and no path of the machine that made it", async () => {
  const blob = await readFile(join(whole(), "dist/main.blob"));
  for (const text of [
    canary,
    "BUILT_WITH",
    folder.path,
    checkout,
    dirname(process.execPath),
    `${tmpdir()}/snapshot-`,
  ]) {
    for (const encoding of ["utf8", "utf16le"] as const) {
      assert.equal(blob.indexOf(Buffer.from(text, encoding)), -1, text);
    }
  }
});

test("the program starts from the snapshot on a processor without the instructions of the one that made it", async () => {
  const lacks = ["sse4-1", "sse4-2", "avx", "avx2", "fma3", "bmi1", "bmi2", "lzcnt", "popcnt"];
  const [store = {}] = stores();
  const dist = join(alone(), "dist");
  const { stdout } = await execa(
    "node",
    [
      ...(process.arch === "x64" ? lacks.map((name) => `--no-enable-${name}`) : []),
      "--snapshot-blob",
      join(dist, "main.blob"),
      join(dist, "main.mjs"),
      "check",
    ],
    { env: toolEnvironment(), input: JSON.stringify({ source: remote(store), version: null }) },
  );
  assert.equal(stdout, "[]");
});

test("each put that starts from the snapshot has its own time and its own random ID", async () => {
  const [store = {}] = stores();
  const source = { ...remote(store), versions: "put" };
  const begun = Date.now();
  const ids: string[] = [];
  for (const _ of [1, 2]) {
    const { version } = versionOf(await putFrom(alone(), source, { context: "app" }));
    const { put = "" } = version as { put?: string };
    const [, time = "", id = ""] = /^\w+-(.*Z)-(\w{8})$/.exec(put) ?? [];
    assert.ok(Date.parse(time) >= begun && Date.parse(time) <= Date.now(), time);
    ids.push(id);
  }
  assert.notEqual(ids[0], ids[1]);
});

test("a put of what is stored already asks the registry once for each document", async () => {
  await using proxy = await startFaultProxy(registry.url);
  const store = { repository: `${proxy.host}/again`, insecure: true };
  const params = { context: "app" };
  const first = versionOf(await putFrom(alone(), store, params));
  const askedBefore = proxy.requests.length;
  const again = versionOf(await putFrom(alone(), store, params));
  assert.deepEqual(again.version, first.version);
  const asked = proxy.requests
    .slice(askedBefore)
    .filter(({ method, headers }) => method === "GET" && !headers["user-agent"]?.startsWith("buildkit"))
    .map(({ path }) => path);
  assert.ok(asked.some((path) => path.includes("/manifests/build-")));
  assert.deepEqual(asked.toSorted(), [...new Set(asked)].toSorted());
});

test("a put of what a directory has already doesn't get its blobs from BuildKit again", async () => {
  const directory = join(folder.path, "again");
  const files = async () => {
    const { version } = versionOf(await putFrom(alone(), { directory }, { context: "app" }));
    const blobs = join(directory, version.digest.replace("sha256:", "build-"), "blobs/sha256");
    const names = (await readdir(blobs)).toSorted();
    return Promise.all(names.map(async (name) => [name, (await stat(join(blobs, name))).ino]));
  };
  const first = await files();
  assert.equal(first.length, 3);
  assert.deepEqual(await files(), first);
});

test("a snapshot that another Node has made isn't used", async () => {
  const other = join(folder.path, "other");
  await execa("cp", ["-a", whole(), other]);
  const blob = join(other, "dist/main.blob");
  await writeFile(blob, "not a snapshot");
  await utimes(blob, 1_000_000_000, 1_000_000_000);
  const [store = {}] = stores();
  const run = await runResource("check", {
    ...options(other),
    stdin: { source: remote(store), version: null },
  });
  assert.deepEqual(responseOf(run), []);
  assert.equal(run.stderr, "");
});

test("a task in the image reads variables that hold YAML", async () => {
  const run = await runResource("build", {
    ...options(whole()),
    cwd: join(folder.path, "put"),
    env: { ...options(whole()).env, CONTEXT: "app", REGISTRIES: "registry.example: {usrname: me}" },
  });
  assertFailedCleanly(run, /REGISTRIES.*"usrname"; did you mean "username"\?/s);
});
