import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { nativePlatform } from "../support/images/image-writer.ts";
import { assertFailedCleanly, responseOf, runResource, versionOf } from "../support/runs/resource.ts";

/** A stage with a shell, from the context alone. */
const shell = `FROM scratch AS shell
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
ENV PATH=/bin
`;

interface Row {
  readonly what: string;
  /** After the stage `shell`; the last stage is the result. */
  readonly dockerfile: string;
  /** Files beside the Dockerfile's folder `app`, by path. */
  readonly files?: Readonly<Record<string, string>>;
  readonly params: Readonly<Record<string, unknown>>;
  /** The oci-build task's form of the same. */
  readonly upper: Readonly<Record<string, string>>;
  /** Looks at what was delivered: the folder with rootfs/, metadata.json, labels.json and digest. */
  readonly holds: (folder: string) => Promise<void>;
}

const result = (folder: string) => readFile(join(folder, "rootfs/result"), "utf8");
const labels = async (folder: string): Promise<unknown> =>
  JSON.parse(await readFile(join(folder, "labels.json"), "utf8"));

const rows: readonly Row[] = [
  {
    what: "the context is the folder of all inputs unless another is named",
    dockerfile: "",
    files: {
      Dockerfile: `${shell.replace("busybox", "app/busybox")}COPY more/file /result\n`,
      "more/file": "all\n",
    },
    params: { context: "." },
    upper: { CONTEXT: "" },
    holds: async (folder) => assert.equal(await result(folder), "all\n"),
  },
  {
    what: "dockerfile names a file anywhere among the inputs",
    dockerfile: "FROM nothing-such\n",
    files: { "build/Own.Dockerfile": `${shell}RUN echo other > /result\n` },
    params: { dockerfile: "build/Own.Dockerfile" },
    upper: { DOCKERFILE: "build/Own.Dockerfile" },
    holds: async (folder) => assert.equal(await result(folder), "other\n"),
  },
  {
    what: "build args keep commas, equals signs and blanks",
    dockerfile: 'FROM shell\nARG one\nARG two\nRUN echo "$one|$two" > /result\n',
    params: { build_args: { one: "a, b=c", two: 1.5 } },
    upper: { BUILD_ARG_one: "a, b=c", BUILD_ARG_two: "1.5" },
    holds: async (folder) => assert.equal(await result(folder), "a, b=c|1.5\n"),
  },
  {
    what: "an empty build arg hides the Dockerfile's default, and an empty label is one",
    dockerfile: 'FROM shell\nARG one=default\nRUN echo "<$one>" > /result\n',
    params: { build_args: { one: "" }, labels: { none: "" } },
    // What a task's config declares without a value is there, and empty.
    upper: {
      BUILD_ARG_one: "",
      LABEL_none: "",
      DOCKERFILE: "",
      TARGET: "",
      ADDITIONAL_TARGETS: "",
      BUILD_ARGS_FILE: "",
      BUILDKIT_SSH: "",
      IMAGE_PLATFORM: "",
      OUTPUT_OCI: "",
    },
    holds: async (folder) => {
      assert.equal(await result(folder), "<>\n");
      assert.deepEqual(await labels(folder), { none: "" });
    },
  },
  {
    what: "a file gives build args by the line",
    dockerfile: 'FROM shell\nARG one\nARG two\nRUN echo "$one|$two" > /result\n',
    files: { "args/args": "one=a=b\n# two=no\ntwo=c d\n" },
    params: { build_args_file: "args/args" },
    upper: { BUILD_ARGS_FILE: "args/args" },
    holds: async (folder) => assert.equal(await result(folder), "a=b|c d\n"),
  },
  {
    what: "a YAML file gives build args of several lines",
    dockerfile: 'FROM shell\nARG one\nRUN echo "$one" > /result\n',
    files: { "args/args.yml": "one: |-\n  first\n  second\n" },
    params: { build_args_file: "args/args.yml" },
    upper: { BUILD_ARGS_FILE: "args/args.yml" },
    holds: async (folder) => assert.equal(await result(folder), "first\nsecond\n"),
  },
  {
    what: "secrets come from files and as text",
    dockerfile: `FROM shell
RUN --mount=type=secret,id=one --mount=type=secret,id=two cat /run/secrets/one /run/secrets/two | sha256sum > /result
`,
    files: { "keys/one": "from a file" },
    params: { secrets: { one: { file: "keys/one" }, two: { text: "as text" } } },
    upper: { BUILDKIT_SECRET_one: "keys/one", BUILDKIT_SECRETTEXT_two: "as text" },
    holds: async (folder) => {
      const { stdout } = await execa("sha256sum", { input: "from a fileas text" });
      assert.equal(await result(folder), `${stdout}\n`);
    },
  },
  {
    what: "labels are given one by one and as a file, the former win",
    dockerfile: "FROM shell\n",
    files: { "more/labels": "one=file\ntwo=file\n" },
    params: { labels: { one: 1 }, labels_file: "more/labels" },
    upper: { LABEL_one: "1", LABELS_FILE: "more/labels" },
    holds: async (folder) => assert.deepEqual(await labels(folder), { one: "1", two: "file" }),
  },
  {
    what: "target names the stage to build",
    dockerfile: "FROM shell AS early\nRUN echo early > /result\nFROM nothing-such AS late\n",
    params: { target: "early" },
    upper: { TARGET: "early" },
    holds: async (folder) => assert.equal(await result(folder), "early\n"),
  },
  {
    what: "a file names the stage to build",
    dockerfile: "FROM shell AS early\nRUN echo early > /result\nFROM nothing-such AS late\n",
    files: { "which/target": "early\n" },
    params: { target_file: "which/target" },
    upper: { TARGET_FILE: "which/target" },
    holds: async (folder) => assert.equal(await result(folder), "early\n"),
  },
  {
    what: "additional targets are delivered into folders of their names, with every option of the main one",
    dockerfile: `FROM shell AS one
ARG word
RUN --mount=type=secret,id=s echo "one $word $(cat /run/secrets/s) $(grep -c db.example /etc/hosts)" > /result
FROM shell AS two
ARG word
ARG TARGETPLATFORM
RUN --mount=type=secret,id=s echo "two $word $(cat /run/secrets/s) $(grep -c db.example /etc/hosts)" > /result
RUN echo $TARGETPLATFORM > /platform
`,
    params: {
      target: "one",
      additional_targets: ["two"],
      build_args: { word: "w" },
      secrets: { s: { text: "s" } },
      add_hosts: { "db.example": "10.0.0.1" },
      labels: { team: "shop" },
      platforms: [`linux/${nativePlatform.architecture}`],
    },
    upper: {
      TARGET: "one",
      ADDITIONAL_TARGETS: " two, ,",
      BUILD_ARG_word: "w",
      BUILDKIT_SECRETTEXT_s: "s",
      BUILDKIT_ADD_HOSTS: "db.example=10.0.0.1",
      LABEL_team: "shop",
      IMAGE_PLATFORM: `linux/${nativePlatform.architecture}`,
    },
    holds: async (folder) => {
      // A get has the folder inside of its own, a task beside `image`.
      const names = await readdir(folder);
      const two = names.includes("two") ? join(folder, "two") : join(dirname(folder), "two");
      assert.equal(await result(folder), "one w s 1\n");
      assert.equal(await result(two), "two w s 1\n");
      const platform = await readFile(join(two, "rootfs/platform"), "utf8");
      assert.equal(platform, `linux/${nativePlatform.architecture}\n`);
      for (const target of [folder, two]) assert.deepEqual(await labels(target), { team: "shop" });
    },
  },
  {
    what: "hosts are added to those that RUN knows",
    dockerfile: "FROM shell\nRUN grep example /etc/hosts > /result\n",
    params: { add_hosts: { "one.example": ["10.0.0.1", "fd00::1"], "two.example": "10.0.0.2" } },
    upper: { BUILDKIT_ADD_HOSTS: "one.example=10.0.0.1, one.example=fd00::1,two.example=10.0.0.2" },
    holds: async (folder) => {
      assert.match(await result(folder), /10\.0\.0\.1\s+one\.example/);
      assert.match(await result(folder), /fd00::1\s+one\.example/);
      assert.match(await result(folder), /10\.0\.0\.2\s+two\.example/);
    },
  },
  {
    what: "BuildKit's configuration is extended",
    dockerfile: "FROM shell\nRUN echo configured > /result\n",
    params: { buildkit_extra_config: "[worker.oci]\n  max-parallelism = 1\n" },
    upper: { BUILDKIT_EXTRA_CONFIG: "[worker.oci]\n  max-parallelism = 1\n" },
    holds: async (folder) => assert.equal(await result(folder), "configured\n"),
  },
];

/** The folder of a put or a task, with the context `app`. */
async function makeInputs(folder: string, { dockerfile, files = {} }: Pick<Row, "dockerfile" | "files">) {
  const all = { "app/Dockerfile": shell + dockerfile, ...files };
  for (const [name, text] of Object.entries(all)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
  await copyFile("/bin/busybox", join(folder, "app/busybox"));
}

async function putAndGet(folder: string, params: Readonly<Record<string, unknown>>): Promise<string> {
  const source = { directory: join(folder, "builds") };
  const inputs = join(folder, "inputs");
  const { version } = versionOf(await runResource("out", { args: [inputs], stdin: { source, params } }));
  const delivered = join(folder, "delivered");
  versionOf(await runResource("in", { args: [delivered], stdin: { source, version } }));
  return delivered;
}

for (const row of rows) {
  test(`in a put, ${row.what}`, async () => {
    await using folder = await createPrivateFolder("test-params");
    await makeInputs(join(folder.path, "inputs"), row);
    await row.holds(await putAndGet(folder.path, { context: "app", unpack_rootfs: true, ...row.params }));
  });

  test(`pasted from a task into a put, ${row.what}`, async () => {
    await using folder = await createPrivateFolder("test-params");
    await makeInputs(join(folder.path, "inputs"), row);
    await row.holds(await putAndGet(folder.path, { CONTEXT: "app", UNPACK_ROOTFS: "true", ...row.upper }));
  });

  test(`in a task, ${row.what}`, async () => {
    await using folder = await createPrivateFolder("test-params");
    await makeInputs(folder.path, row);
    const env = { CONTEXT: "app", UNPACK_ROOTFS: "true", ...row.upper };
    const run = await runResource("build", { cwd: folder.path, env });
    assert.equal(run.status, 0, run.output);
    await row.holds(join(folder.path, "image"));
  });
}

test("ssh keys reach RUN through an agent, by path and as text", async () => {
  await using folder = await createPrivateFolder("test-params");
  const inputs = join(folder.path, "inputs");
  const dockerfile =
    'FROM shell\nRUN --mount=type=ssh,id=a --mount=type=ssh,id=b,target=/b.sock [ -S "$SSH_AUTH_SOCK" ] && echo agent > /result\n';
  await makeInputs(inputs, { dockerfile, files: { "keys/none": "" } });
  const key = join(inputs, "keys/id");
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  const ssh = { a: ["keys/id", { path: "keys/id" }], b: { key: await readFile(key, "utf8") } };
  const delivered = await putAndGet(folder.path, { context: "app", unpack_rootfs: true, ssh });
  assert.equal(await result(delivered), "agent\n");

  await execa("ssh-keygen", ["-q", "-p", "-P", "", "-N", "passphrase", "-f", key]);
  const env = { CONTEXT: "app", BUILDKIT_SSH: "a=keys/id.pub,keys/id" };
  const refused = await runResource("build", { cwd: inputs, env: { ...env, BUILDKIT_SSH: "a=keys/id" } });
  assertFailedCleanly(refused, /BUILDKIT_SSH, a: the key can't be used: it has a passphrase/);
  const second = await runResource("build", { cwd: inputs, env });
  assertFailedCleanly(
    second,
    /BUILDKIT_SSH, a: the key can't be used: it is a public key.*\n.*BUILDKIT_SSH, a: the key can't be used: it has a passphrase/,
  );
  const agent = await runResource("build", { cwd: inputs, env: { ...env, BUILDKIT_SSH: "default" } });
  assertFailedCleanly(agent, /BUILDKIT_SSH: expected id=path/);
});

test("all files that the params name and that can't be used are told at once, in the params' order", async () => {
  await using folder = await createPrivateFolder("test-params");
  const inputs = join(folder.path, "inputs");
  await makeInputs(inputs, { dockerfile: "FROM scratch\n", files: { "keys/none": "" } });
  const env = {
    CONTEXT: "app",
    BUILD_ARGS_FILE: "app/no-args",
    BUILDKIT_SECRET_a: "app/no-secret",
    BUILDKIT_SECRET_b: "app",
    BUILDKIT_SSH: "a=keys/none",
  };
  const run = await runResource("build", { cwd: inputs, env });
  assertFailedCleanly(
    run,
    /app\/no-args.*\n.*app\/no-secret.*\n.*BUILDKIT_SECRET_b.*\n.*BUILDKIT_SSH, a: the key can't be used/,
  );
});

test("several platforms give one index, from which a get takes one", async () => {
  await using folder = await createPrivateFolder("test-params");
  const inputs = join(folder.path, "inputs");
  await mkdir(join(inputs, "app"), { recursive: true });
  await writeFile(join(inputs, "app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  const source = { directory: join(folder.path, "builds") };
  const params = { CONTEXT: "app", IMAGE_PLATFORM: "linux/amd64,linux/arm64" };
  const { version } = versionOf(await runResource("out", { args: [inputs], stdin: { source, params } }));
  const [all, one] = [join(folder.path, "all"), join(folder.path, "one")];
  responseOf(await runResource("in", { args: [all], stdin: { source, version } }));
  assert.equal(await readFile(join(all, "digest"), "utf8"), version.digest);
  const index: unknown = JSON.parse(await readFile(join(all, "image/index.json"), "utf8"));
  assert.equal((index as { manifests: { digest: string }[] }).manifests[0]?.digest, version.digest);
  const get = { source, version, params: { platform: "linux/arm64", output_oci: false } };
  responseOf(await runResource("in", { args: [one], stdin: get }));
  const { stdout } = await execa("skopeo", [
    "inspect",
    "--config",
    `docker-archive:${join(one, "image.tar")}`,
  ]);
  assert.equal((JSON.parse(stdout) as { architecture: string }).architecture, "arm64");
});

test("docker.io's mirrors are asked for base images, in a put and in a task", async () => {
  await using folder = await createPrivateFolder("test-params");
  await using hub = await startDockerHub();
  const inputs = join(folder.path, "inputs");
  await mkdir(join(inputs, "app"), { recursive: true });
  await writeFile(join(inputs, "app/Dockerfile"), "FROM busybox\nRUN echo mirrored > /result\n");
  const delivered = await putAndGet(folder.path, {
    CONTEXT: "app",
    UNPACK_ROOTFS: true,
    REGISTRY_MIRRORS: hub.url,
  });
  assert.equal(await result(delivered), "mirrored\n");
  const env = { CONTEXT: "app", UNPACK_ROOTFS: "true", REGISTRY_MIRRORS: hub.url };
  const run = await runResource("build", { cwd: inputs, env });
  assert.equal(run.status, 0, run.output);
  assert.equal(await result(join(inputs, "image")), "mirrored\n");
});

test("a get of a put that asked for an OCI layout delivers it, and no image.tar", async () => {
  await using folder = await createPrivateFolder("test-params");
  await makeInputs(join(folder.path, "inputs"), { dockerfile: "FROM shell\n" });
  const delivered = await putAndGet(folder.path, { context: "app", output_oci: true });
  await execa("skopeo", ["inspect", `oci:${join(delivered, "image")}`]);
  await assert.rejects(readFile(join(delivered, "image.tar")), { code: "ENOENT" });
});
