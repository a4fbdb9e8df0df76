import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { nativePlatform } from "../support/images/image-writer.ts";
import { gone } from "../support/runs/processes.ts";
import { makeSite, shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, versionOf } from "../support/runs/resource.ts";
import { checkout, toolEnvironment } from "../support/runs/test-step.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { createAuthority } from "../support/servers/certificates.ts";
import { startSilentServer } from "../support/servers/silent-server.ts";

const native = `linux/${nativePlatform.architecture}`;

test("an unprivileged user without capabilities puts and gets through a BuildKit with mTLS", async () => {
  await using authority = await createAuthority();
  await using daemon = await startBuildkitd({ listen: "tcp", tls: await authority.server() });
  const client = await authority.client("worker");
  const [ca, cert, key] = await Promise.all(
    [authority.ca, client.cert, client.key].map((file) => readFile(file, "utf8")),
  );
  await using folder = await createPrivateFolder("test-remote");
  await chmod(folder.path, 0o777);
  const app = join(folder.path, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), `${shell}RUN id -u > /result\n`);
  await copyFile("/bin/busybox", join(app, "busybox"));
  const source = {
    directory: join(folder.path, "builds"),
    buildkit: { address: daemon.address, tls: { ca, cert, key } },
  };
  const nobody = [
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all",
    "--inh-caps=-all",
  ];
  const env = { PATH: process.env["PATH"] ?? "", TMPDIR: folder.path, HOME: "/nonexistent" };
  const run = (name: string, argument: string, stdin: unknown) =>
    execa("setpriv", [...nobody, "--no-new-privs", "--", join(checkout, "assets", name), argument], {
      input: JSON.stringify(stdin),
      env,
      cwd: "/",
    });
  const put = await run("out", join(folder.path, "put"), { source, params: { context: "app" } });
  assert.match(put.stderr, new RegExp(`building with BuildKit at ${daemon.address}`));
  const { version } = JSON.parse(put.stdout) as { version: unknown };
  await run("in", join(folder.path, "got"), { source, version });
  assert.deepEqual((await readdir(join(folder.path, "got"))).toSorted(), [
    "build.json",
    "digest",
    "image.tar",
    "labels.json",
    "metadata.json",
  ]);
});

test("a daemon that wants TLS, has another authority, or wants a client certificate, is named with what to check", async () => {
  await using authority = await createAuthority();
  await using stranger = await createAuthority("stranger");
  await using daemon = await startBuildkitd({ listen: "tcp", tls: await authority.server() });
  const [ca, other] = await Promise.all([authority.ca, stranger.ca].map((file) => readFile(file, "utf8")));
  await using site = await makeSite("");
  const wrong: readonly (readonly [object, RegExp])[] = [
    [
      {},
      /can't be used: .*give tls, with ca, cert and key, beside its address|give tls, with ca, cert and key, beside the address/s,
    ],
    [
      { tls: { ca: other } },
      /can't be used: .*certificate.*Check the tls of this address: ca must have signed/s,
    ],
    [
      { tls: { ca } },
      /can't be used: .*Check the tls of this address.*cert and key must be ones it accepts/s,
    ],
    [{ tls: { ca, server_name: "elsewhere" } }, /can't be used: .*elsewhere.*server_name must be in/s],
  ];
  for (const [fields, message] of wrong) {
    const run = await site.put({}, { buildkit: { address: daemon.address, ...fields } });
    assertFailedCleanly(run, message);
    assert.ok(run.milliseconds < 60_000, `${run.milliseconds} ms`);
  }
});

test("a daemon that takes connections and never answers is named within seconds, as the one or as a node", async () => {
  await using silent = await startSilentServer();
  await using site = await makeSite("");
  const address = `tcp://${silent.host}`;
  const sources = [{ buildkit: { address } }, { nodes: [{ address, platforms: [native] }] }];
  for (const run of await Promise.all(sources.map((source) => site.put({}, source)))) {
    assertFailedCleanly(run, /BuildKit at tcp:\/\/127\.0\.0\.1:\d+ can't be used/);
    assert.doesNotMatch(run.stderr, /building with/);
    assert.ok(run.milliseconds < 60_000, `${run.milliseconds} ms`);
  }
});

test("ssh, docker-container and kube-pod addresses are reached by the program that buildctl has for each", async () => {
  await using daemon = await startBuildkitd();
  await using folder = await createPrivateFolder("test-ways");
  for (const [program, address] of [
    ["ssh", "ssh://builder@build.example"],
    ["docker", "docker-container://buildkitd"],
    ["kubectl", "kube-pod://buildkitd-0"],
  ] as const) {
    const bin = join(folder.path, program);
    await mkdir(bin);
    // At the other end, each of them runs buildctl there.
    const there = `#!/bin/sh\necho "$*" >>'${bin}/asked'\nexec buildctl --addr '${daemon.address}' dial-stdio\n`;
    await writeFile(join(bin, program), there, { mode: 0o755 });
    await using site = await makeSite("");
    const params = { dockerfile_inline: "FROM scratch\nCOPY Dockerfile /\n" };
    const env = { PATH: `${bin}:${toolEnvironment()["PATH"]}` };
    const run = await site.put(params, { buildkit: { address } }, { env });
    versionOf(run);
    assert.ok(run.stderr.includes(`building with BuildKit at ${address}`), run.stderr);
    assert.match(await readFile(join(bin, "asked"), "utf8"), /buildctl .*dial-stdio/);
  }
});

test("settings that a BuildKit elsewhere can't be given are told", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("");
  const buildkit = { address: daemon.address };
  const put = (params: object, source: object) =>
    site.put({ dockerfile_inline: "FROM scratch\nLABEL a=b\n", ...params }, { buildkit, ...source });
  const told = await put(
    { registry_mirrors: ["mirror.example"] },
    { registries: { "a.example": { mirrors: ["b.example"] } } },
  );
  assert.match(
    told.stderr,
    /warning: mirrors of a\.example: not used: .* its own configuration.*\nwarning: registry_mirrors: not used: /,
  );
  assert.doesNotMatch((await put({}, {})).stderr, /warning/);
  const refused = await put({ buildkit_extra_config: "debug = true" }, {});
  assertFailedCleanly(refused, /buildkit_extra_config configures the step's own buildkitd/);
});

test("a daemon that dies in the middle of a build is named, not the step it was at", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("RUN echo running; sleep 600\n");
  const put = await site.startPut({}, { buildkit: { address: daemon.address } });
  await put.wrote(/\] running/);
  await daemon.kill();
  assertFailedCleanly(await put.result, /BuildKit at unix:\/\/\S+ can't be used/);
});

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  test(`after ${signal} a BuildKit elsewhere ends the RUN too`, async () => {
    await using daemon = await startBuildkitd();
    const mark = `REMOTE_MARK_${crypto.randomUUID().replaceAll("-", "")}`;
    await using site = await makeSite(`RUN echo running; ${mark}=1 busybox sleep 600\n`);
    const put = await site.startPut({}, { buildkit: { address: daemon.address } });
    await put.wrote(/\] running/);
    put.kill(signal);
    const run = await put.result;
    assert.notEqual(run.status, 0);
    assert.equal(run.stdout, "");
    await gone(mark);
  });
}

test("a daemon in a container is reached by the program that its address needs, once that is on PATH", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("RUN echo done > /result\n");
  const programs = join(site.folder, "programs");
  await mkdir(programs);
  // What `docker exec -i builder buildctl dial-stdio` and its like do in the container.
  const dial = `exec buildctl --addr ${daemon.address} dial-stdio`;
  for (const name of ["docker", "kubectl"]) {
    await writeFile(join(programs, name), `#!/bin/sh\necho "$0 $@" >> ${site.folder}/asked\n${dial}\n`);
    await chmod(join(programs, name), 0o755);
  }
  const { PATH: path = "" } = toolEnvironment();
  for (const address of ["docker-container://builder", "kube-pod://builder?namespace=ci"]) {
    const run = await site.put({}, { buildkit: { address } }, { env: { PATH: `${programs}:${path}` } });
    assert.ok(run.stderr.includes(`building with BuildKit at ${address}`), run.stderr);
  }
  const asked = await readFile(join(site.folder, "asked"), "utf8");
  assert.match(asked, /docker exec -i builder buildctl dial-stdio/);
  assert.match(asked, /kubectl .*--namespace=ci exec .*-i builder -- buildctl dial-stdio/);
});
