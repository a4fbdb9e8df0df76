import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import resource from "../../package.json" with { type: "json" };
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { BuildRecord } from "../../src/image/build-record.ts";
import { buildAnnotations } from "../../src/store/build-index.ts";
import { assertHoldsNone, canary, keyCanary } from "../support/runs/canaries.ts";
import { makeSite, type Site } from "../support/runs/put-and-get.ts";
import { type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { assertRecord } from "../support/runs/schemas.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { answers, startFaultProxy } from "../support/servers/fault-proxy.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry] = await untilTestsEnd(startRegistry());
const [daemon] = await untilTestsEnd(
  startBuildkitd({ config: `[registry."${registry.host}"]\nhttp = true\n` }),
);

const registrySource = (host = registry.host) => ({
  repository: `${host}/app-${crypto.randomUUID()}`,
  insecure: true,
  buildkit: { address: daemon.address },
});

const recordIn = async (folder: string): Promise<BuildRecord> => {
  const record: unknown = JSON.parse(await readFile(join(folder, "build.json"), "utf8"));
  assertRecord(record);
  return record;
};

/** Gets what a put stored, without the image. */
const recordOf = async (site: Site, put: Run) => recordIn(await site.get(put, { skip_download: true }));

test("build.json tells what was built, from what, by which steps, and by which build of Concourse", async () => {
  const source = registrySource();
  await using base = await makeSite("ENV BASE=1\n", source);
  versionOf(await base.put({ tags: ["base"] }));
  const from = `${source.repository}:base`;
  const dockerfile = `FROM ${from} AS test\nRUN echo test > /tested\nFROM ${from}\nARG WHO\nRUN echo $WHO > /result\nCMD echo shell\n`;
  await using site = await makeSite(dockerfile, source);
  const first = await site.put({
    build_args: { WHO: "me" },
    labels: { team: "web" },
    tags: ["1.0"],
    additional_targets: { test: { tags: ["test-1"] } },
    secrets: { unused: { text: "not shown" } },
  });
  const got = await site.get(first, { output_oci: true });
  const record = await recordIn(got);
  const { version } = versionOf(first);

  assert.equal(record.concourse["build_job_name"], "build");
  assert.equal(record.concourse["build_id"], "4242");
  assert.equal(record.dockerfile?.name, "app/Dockerfile");
  assert.equal(record.dockerfile?.text, await readFile(join(site.inputs, "app/Dockerfile"), "utf8"));
  assert.deepEqual(record.build_args, { WHO: "me" });
  assert.deepEqual(record.labels, { team: "web" });
  assert.deepEqual(record.params, { context: "app", additional_targets: ["test"], secrets: ["unused"] });
  const found = record.base_images.filter(({ name }) => name === from);
  assert.equal(found.length, 1);
  const answer = await fetch(`${registry.url}/v2/${source.repository.split("/")[1]}/manifests/base`, {
    method: "HEAD",
    headers: { accept: "application/vnd.oci.image.manifest.v1+json" },
  });
  assert.equal(found[0]?.digest, answer.headers.get("docker-content-digest"));

  const [main, tested, ...others] = record.targets;
  assert.deepEqual(others, []);
  assert.deepEqual([main?.name, main?.tags], ["", ["1.0"]]);
  assert.deepEqual([tested?.name, tested?.tags], ["test", ["test-1"]]);
  assert.equal(main?.images[0]?.config_digest, version.digest);
  const index = JSON.parse(await readFile(join(got, "image/index.json"), "utf8"));
  assert.equal(main?.digest, index.manifests[0].digest);
  const blob = (digest: string) => join(got, "image/blobs/sha256", digest.slice("sha256:".length));
  const manifest = JSON.parse(await readFile(blob(main?.digest ?? ""), "utf8"));
  assert.deepEqual(
    main?.images[0]?.layers.map(({ digest, size }) => ({ digest, size })),
    manifest.layers.map(({ digest, size }: { digest: string; size: number }) => ({ digest, size })),
  );

  const ran = record.steps.find(({ name }) => name.endsWith("RUN echo me > /result"));
  assert.equal(ran?.cached, false);
  assert.ok(Date.parse(ran?.started ?? "") >= Date.parse(record.started) - 1000);
  assert.ok(record.seconds > 0 && record.seconds < 600);
  assert.ok(record.warnings.some((text) => /^app\/Dockerfile:\d+: JSONArgsRecommended/.test(text)));
  assert.match(record.tools.buildkit[0]?.where ?? "", /^BuildKit at unix:/);
  assert.match(record.tools.buildkit[0]?.version ?? "", /^\d+\.\d+\.\d+$/);
  assert.equal(record.tools.buildkit[0]?.runc, undefined, "the runc of a BuildKit elsewhere isn't known");
  assert.match(record.tools.buildctl ?? "", /^\d+\.\d+\.\d+$/);
  assert.equal(record.tools.resource, resource.version);
  assert.deepEqual(record.left_out, []);
  assert.equal(
    (await readFile(join(got, "test/build.json"))).compare(await readFile(join(got, "build.json"))),
    0,
  );

  // The same build again.
  const second = await site.put({
    build_args: { WHO: "me" },
    labels: { team: "web" },
    additional_targets: ["test"],
  });
  assert.deepEqual(versionOf(second).version, version, "the record doesn't change the version");
  const again = await recordOf(site, second);
  assert.ok(again.steps.find(({ name }) => name.endsWith("RUN echo me > /result"))?.cached);
  assert.notEqual(again.started, record.started);
  assert.deepEqual(
    again.targets.map(({ digest }) => digest),
    record.targets.map(({ digest }) => digest),
  );
});

test("the record costs a put no blob and no manifest of its own, and a get no request", async () => {
  await using proxy = await startFaultProxy(registry.url);
  const source = registrySource();
  const repository = source.repository.replace(registry.host, proxy.host);
  await using site = await makeSite("", { ...source, repository });
  const put = await site.put({});
  const pushed = proxy.requests.filter(
    ({ method, path, headers }) =>
      method === "PUT" &&
      path.includes("/manifests/") &&
      !String(headers["user-agent"]).startsWith("buildkit"),
  );
  assert.equal(pushed.length, 1, "the build index alone");
  const asked = proxy.requests.length;
  const got = await site.get(put, { skip_download: true });
  assert.equal(proxy.requests.length - asked, 1);
  assert.ok((await readdir(got)).includes("build.json"));
});

test("no secret gets into build.json, even where the author wrote it into the Dockerfile or an arg", async () => {
  const [text, file, login, password] = [
    "a secret text",
    "a secret file",
    "the login of a context's URL",
    "a registry's password",
  ].map(canary);
  assert.ok(text && file && login && password);
  const shown = [text, file, password].map(({ core }) => core).join(" ");
  // Long enough for the name of the step to be cut in the middle of what is secret.
  const dockerfile = `ARG SHOWN\nRUN echo ${"x".repeat(250)} ${shown}\nRUN echo ${shown} https://user:${login.core}@web.example/x\nLABEL from-file=${file.core}\n`;
  await using site = await makeSite(dockerfile, {
    ...registrySource(),
    registries: { "other.example": { username: "robot", password: password.core } },
  });
  await mkdir(join(site.inputs, "keys"));
  await writeFile(join(site.inputs, "keys/file"), `${file.core}\n`);
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(site.folder, "key")]);
  const key = await readFile(join(site.folder, "key"), "utf8");
  const line = keyCanary("a line of the key", key);
  await writeFile(join(site.inputs, "app/args"), `FROM_FILE=${text.core}\n`);
  const put = await site.put({
    build_args: { SHOWN: `${text.core} and ${password.core}` },
    build_args_file: "app/args",
    labels: {
      key: line.core,
      shown: Buffer.from(`robot:${password.core}`).toString("base64"),
      [text.core]: "name",
    },
    secrets: { text: { text: `first\n${text.core}` }, file: { file: "keys/file" } },
    contexts: { web: `docker-image://scratch`, local: "app" },
    annotations: { url: `https://user:${login.core}@web.example/` },
    ssh: { default: { key } },
  });
  const got = await site.get(put, { skip_download: true });
  const written = await readFile(join(got, "build.json"), "utf8");
  assertHoldsNone("build.json", written, [text, file, login, password, line]);
  const record = await recordIn(got);
  assert.equal(record.build_args["SHOWN"], "*** and ***");
  assert.deepEqual(record.params["secrets"], ["text", "file"]);
  assert.deepEqual(record.params["ssh"], ["default"]);
});

test("a registry that refuses a build index with a record gets one without it, and the put only warns", async () => {
  await using proxy = await startFaultProxy(registry.url);
  proxy.inject({
    when: ({ method, path }) => method === "PUT" && path.includes("/manifests/build-"),
    happens: async (faulty) => {
      if ((await faulty.body()).includes(buildAnnotations.record)) {
        const body = JSON.stringify({ errors: [{ code: "SIZE_INVALID", message: "manifest too large" }] });
        await answers(413, { body })(faulty);
        return;
      }
      const answer = await faulty.forward();
      faulty.response.writeHead(answer.status, answer.headers).end(answer.body);
    },
  });
  const source = registrySource();
  await using site = await makeSite("", {
    ...source,
    repository: source.repository.replace(registry.host, proxy.host),
  });
  const put = await site.put({});
  assert.match(
    put.stderr,
    /warning: build\.json: repository \S+ doesn't take it, so gets of this build have none/,
  );
  const got = await site.get(put);
  assert.ok(!(await readdir(got)).includes("build.json"));
});

test("a record that was damaged in the store is left out of a get, with a warning", async () => {
  await using site = await makeSite("");
  const put = await site.put({}, { buildkit: { address: daemon.address } });
  const { version } = versionOf(put);
  const [build] = await readdir(join(site.folder, "builds"));
  const file = join(site.folder, "builds", build ?? "", "index.json");
  const index = JSON.parse(await readFile(file, "utf8"));
  for (const damaged of ["", "{", '{"schema": 2}']) {
    index.annotations[buildAnnotations.record] = damaged;
    await writeFile(file, JSON.stringify(index));
    const to = join(site.folder, `got-${damaged.length}`);
    const run = await runResource("in", {
      args: [to],
      stdin: { source: site.source, version },
      env: { NO_COLOR: "1" },
    });
    assert.deepEqual(versionOf(run).version, version);
    assert.match(run.stderr, /warning: build\.json not delivered: what is stored for it is not the record/);
    assert.deepEqual((await readdir(to)).toSorted(), ["digest", "image.tar", "labels.json", "metadata.json"]);
  }
});

test("a task writes build.json into its outputs, and tells of targets that it only built", async () => {
  await using folder = await createPrivateFolder("test-task");
  await mkdir(join(folder.path, "app"));
  const dockerfile = "FROM scratch AS test\nCOPY Dockerfile /test\nFROM scratch\nCOPY Dockerfile /main\n";
  await writeFile(join(folder.path, "app/Dockerfile"), dockerfile);
  const env = { CONTEXT: "app", ADDITIONAL_TARGETS: "test", BUILD_ID: undefined };
  const run = await runResource("build", { cwd: folder.path, env, outputs: ["image"] });
  assert.equal(run.status, 0, run.output);
  const record = await recordIn(join(folder.path, "image"));
  assert.equal(record.dockerfile?.text, dockerfile);
  assert.equal(record.targets[0]?.images.length, 1);
  assert.deepEqual(record.targets[1], { name: "test", tags: [], images: [] });
  assert.match(record.tools.buildkit[0]?.where ?? "", /^a BuildKit of its own/);
  assert.match(record.tools.buildkit[0]?.runc ?? "", /^\d+\.\d+\.\d+/);
});
