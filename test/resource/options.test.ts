import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { makeSite, metadataOf, result, shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, versionOf } from "../support/runs/resource.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

test("a Dockerfile is given in the params themselves", async () => {
  await using site = await makeSite("FROM nothing-such\n");
  const run = await site.put({ dockerfile_inline: `${shell}RUN echo inline > /result\n` });
  assert.equal(await result(await site.get(run)), "inline\n");
});

test("named contexts are folders of the inputs", async () => {
  await using site = await makeSite("COPY --from=more file /result\n");
  await mkdir(join(site.folder, "inputs/more"));
  await writeFile(join(site.folder, "inputs/more/file"), "from a named context\n");
  const run = await site.put({ contexts: { more: "more" } });
  assert.equal(await result(await site.get(run)), "from a named context\n");
});

test("a git repository is a context", async () => {
  await using site = await makeSite("");
  const repository = join(site.folder, "repository");
  await mkdir(repository);
  await copyFile("/bin/busybox", join(repository, "busybox"));
  await writeFile(join(repository, "Dockerfile"), `${shell}RUN echo git > /result\n`);
  const git = async (...args: string[]) => {
    await execa("git", ["-c", "user.name=a", "-c", "user.email=a@b.example", ...args], { cwd: repository });
  };
  await git("init", "-q", "-b", "main");
  await git("add", ".");
  await git("commit", "-q", "-m", "all");
  await using server = await serveGit(site.folder);
  const run = await site.put({ context: `git://127.0.0.1:${server.port}/repository#main` });
  assert.equal(await result(await site.get(run)), "git\n");
});

/** Serves the repositories of a folder by git's own protocol: one git-daemon(1) for each connection, as inetd does. */
async function serveGit(folder: string): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((socket) => {
    const args = ["daemon", "--inetd", "--export-all", `--base-path=${folder}`];
    const daemon = spawn("git", args, { stdio: ["pipe", "pipe", "ignore"] });
    socket.pipe(daemon.stdin).on("error", () => socket.destroy());
    daemon.stdout.pipe(socket).on("error", () => daemon.kill());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    port,
    async [Symbol.asyncDispose]() {
      server.close();
      await once(server, "close");
    },
  };
}

test("no_cache runs all steps again, or those of the named stages", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite(
    "FROM shell AS one\nRUN echo 1 > /one\nFROM one AS two\nRUN echo 2 > /two\n",
  );
  const buildkit = { buildkit: { address: daemon.address } };
  const steps = async (params: Readonly<Record<string, unknown>>) => {
    const { metadata } = versionOf(await site.put(params, buildkit));
    return metadata.find(({ name }) => name === "steps")?.value;
  };
  assert.equal(await steps({}), "4 run, 0 cached");
  assert.equal(await steps({}), "0 run, 4 cached");
  assert.equal(await steps({ no_cache: ["two"] }), "1 run, 3 cached");
  assert.equal(await steps({ no_cache: true }), "4 run, 0 cached");
});

test("what only a BuildKit of the step's own can be told is refused, or warned of, for one elsewhere", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("RUN echo built > /result\n");
  const buildkit = { buildkit: { address: daemon.address } };
  const config = await site.put({ BUILDKIT_EXTRA_CONFIG: "debug = true" }, buildkit);
  assertFailedCleanly(config, /buildkit_extra_config .* the source's buildkit names another: remove one/);
  const mirrors = await site.put({ REGISTRY_MIRRORS: "mirror.example" }, buildkit);
  assert.match(mirrors.stderr, /warning: registry_mirrors: not used/);
  assert.equal(await result(await site.get(mirrors)), "built\n");
});

/** A stage that waits for another one that runs at the same time. */
const meet = (own: string, other: string) =>
  `FROM shared AS ${own}
RUN --mount=type=cache,target=/meet touch /meet/${own} && timeout 60 sh -c 'until [ -e /meet/${other} ]; do sleep 0.1; done'
RUN cp /id /result
`;

test("targets are built at the same time, and run what they share once", async () => {
  const shared = "FROM shell AS shared\nRUN cat /proc/sys/kernel/random/uuid > /id\n";
  await using daemon = await startBuildkitd();
  await using site = await makeSite(shared + meet("one", "two") + meet("two", "one"));
  const put = () =>
    site.put({ target: "one", additional_targets: ["two"] }, { buildkit: { address: daemon.address } });
  const run = await put();
  assert.equal(metadataOf(run, "steps"), "7 run, 0 cached");
  assert.equal(metadataOf(run, "additional_targets"), "two");
  const got = await site.get(run);
  assert.equal(await result(join(got, "two")), await result(got));
  assert.equal(metadataOf(await put(), "steps"), "0 run, 7 cached");
});

test("network, shm_size, ulimits and options of the frontend reach RUN", async () => {
  await using site = await makeSite(
    "RUN (ls /sys/class/net; df -k /dev/shm | tail -n 1; ulimit -n; hostname; cat /sys/fs/cgroup/memory.max || cat /sys/fs/cgroup/memory/memory.limit_in_bytes) > /result\n",
  );
  const run = await site.put({
    network: "none",
    shm_size: "32m",
    ulimits: { nofile: "123:456" },
    options: {
      hostname: "shop",
      memory: "64m",
      memswap: "128m",
      cpushares: 512,
      hostnmae: "shop",
      "vcs:source": "https://git.example/app",
      platfrom: "linux/amd64",
      whatever: "1",
    },
  });
  const ignored = "BuildKit's Dockerfile frontend has no such option and ignores it";
  assert.deepEqual(
    run.stderr.split("\n").filter((line) => line.startsWith("warning: options.")),
    [
      `warning: options.hostnmae: ${ignored}; did you mean "hostname"?`,
      `warning: options.platfrom: ${ignored}; did you mean "platform"?`,
      `warning: options.whatever: ${ignored}; remove it`,
    ],
  );
  const said = await result(await site.get(run));
  assert.match(said, /^lo$/m);
  assert.doesNotMatch(said, /^eth/m);
  assert.match(said, /\b32768\b/);
  assert.match(said, /^123$/m);
  assert.match(said, /^shop$/m);
  // Sizes are written as Docker has them, and BuildKit wants bytes.
  assert.match(said, /^67108864$/m);
});

test("an entitlement that the Dockerfile needs is refused unless it is allowed", async () => {
  await using site = await makeSite("RUN --network=host echo host > /result\n");
  assertFailedCleanly(await site.put({}), /network\.host is not allowed; name it under "allow"/);
  const run = await site.put({ allow: ["network.host"] });
  assert.equal(await result(await site.get(run)), "host\n");
});

test("compression and annotations are the manifest's, and change no version", async () => {
  await using site = await makeSite("RUN echo same > /result\n");
  const common = { reproducible: true };
  const plain = await site.put(common);
  const run = await site.put({ ...common, compression: "zstd", annotations: { team: "shop" } });
  assert.deepEqual(versionOf(run).version, versionOf(plain).version);
  const folder = await site.get(run, { output_oci: true });
  const { stdout } = await execa("skopeo", ["inspect", "--raw", `oci:${join(folder, "image")}`]);
  const manifest = JSON.parse(stdout) as {
    layers: { mediaType: string }[];
    annotations: Record<string, string>;
  };
  assert.equal(manifest.annotations["team"], "shop");
  assert.ok(manifest.layers.every(({ mediaType }) => mediaType.endsWith("+zstd")));
  assert.equal(await result(await site.get(run)), "same\n");
});

test("annotations go to the index of several platforms where their names say so", async () => {
  await using site = await makeSite("");
  const run = await site.put({
    dockerfile_inline: "FROM scratch\nCOPY Dockerfile /\n",
    platforms: ["linux/amd64", "linux/arm64"],
    annotations: { "index:team": "shop", part: "web", "manifest[linux/arm64]:only": "arm" },
  });
  const image = `oci:${join(await site.get(run, {}), "image")}`;
  const { stdout: raw } = await execa("skopeo", ["inspect", "--raw", image]);
  const index = JSON.parse(raw) as { annotations: unknown };
  assert.deepEqual(index.annotations, { team: "shop" });
  const { stdout } = await execa("grep", ["-rlE", '"part": ?"web"', join(site.folder, "builds")]);
  assert.equal(new Set(stdout.split("\n").map((path) => path.split("/").at(-1))).size, 2);
});

test("a syntax line whose frontend can't be fetched is answered with what to do about it", async () => {
  await using site = await makeSite("");
  const dockerfile = "# syntax=127.0.0.1:1/docker/dockerfile:1\nFROM scratch\nCOPY Dockerfile /\n";
  const run = await site.put({ dockerfile_inline: dockerfile });
  assertFailedCleanly(
    run,
    /frontend \S+docker\/dockerfile:1, which .*"# syntax=" line names \(remove the line/,
  );
});

test("a reproducible build has the same version at each run", async () => {
  await using site = await makeSite("RUN date +%s%N > /tmp-file && rm /tmp-file\nRUN echo same > /result\n");
  const runs = [await site.put({ reproducible: true }), await site.put({ reproducible: true })];
  const [first, second] = runs.map((run) => versionOf(run).version.digest);
  assert.equal(first, second);
});

test("provenance is attached beside the image, whose version it leaves alone", async () => {
  await using site = await makeSite("RUN echo same > /result\n");
  const plain = await site.put({ reproducible: true });
  const run = await site.put({ reproducible: true, provenance: "min" });
  assert.deepEqual(versionOf(run).version, versionOf(plain).version);
  const folder = await site.get(run, { output_oci: true });
  const { stdout } = await execa("find", [join(folder, "image/blobs"), "-type", "f", "-size", "-64k"]);
  const texts = await Promise.all(stdout.split("\n").map((file) => readFile(file, "latin1")));
  assert.ok(texts.some((text) => text.includes("https://slsa.dev/provenance")));
});

test("findings of the build checks are warnings with file and line, or fail the build", async () => {
  await using site = await makeSite("FROM shell as two\n");
  const warned = await site.put({});
  assert.match(warned.stderr, /warning: app\/Dockerfile:5: FromAsCasing: /);
  const { metadata } = versionOf(warned);
  assert.equal(metadata.find(({ name }) => name === "warnings")?.value, "1");
  assertFailedCleanly(await site.put({ fail_on_warnings: true }), /lint violation found/);
});

test("progress: plain shows every step by its number", async () => {
  await using site = await makeSite("RUN echo said\n");
  const run = await site.put({ progress: "plain" });
  assert.match(run.stderr, /^#\d+ \[3\/3\] RUN echo said$/m);
  assert.match(run.stderr, /^#\d+ \d+\.\d+ said$/m);
  assert.equal(versionOf(run).metadata.find(({ name }) => name === "steps")?.value, "3 run, 0 cached");
});

test(".dockerignore, and one beside a Dockerfile of another name, keep files out of the context", async () => {
  await using site = await makeSite("COPY . /result-folder/\nRUN ls /result-folder > /result\n");
  const app = join(site.folder, "inputs/app");
  await writeFile(join(app, "kept"), "");
  await writeFile(join(app, "secret.txt"), "");
  await writeFile(join(app, ".dockerignore"), "*.txt\n");
  assert.doesNotMatch(await result(await site.get(await site.put({}))), /secret/);
  await copyFile(join(app, "Dockerfile"), join(app, "Other"));
  await writeFile(join(app, "Other.dockerignore"), "kept\n");
  const other = await result(await site.get(await site.put({ dockerfile: "app/Other" })));
  assert.match(other, /secret/);
  assert.doesNotMatch(other, /kept/);
});
