import assert from "node:assert/strict";
import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import type { Digest } from "../../src/image/digest.ts";
import { blobPath } from "../../src/image/layout.ts";
import { writeLayout } from "../support/images/image-writer.ts";
import { makeSite, result } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, runResource, versionOf } from "../support/runs/resource.ts";

/** Values whose ends are blanks and line ends, which whoever reads words is tempted to trim. */
const ends = { A: "trail  ", B: "a\nb\n", C: "\t lead", D: "\r\n", E: " ", F: 'q"\n' };
const writeArgs = Object.keys(ends)
  .map((name) => `ARG ${name}\nRUN printf %s "$${name}" > /${name}\n`)
  .join("");

async function assertArgsIn(folder: string): Promise<void> {
  for (const [name, value] of Object.entries(ends))
    assert.equal(await readFile(join(folder, "rootfs", name), "utf8"), value, name);
}

async function json(path: string): Promise<unknown> {
  return JSON.parse(await readFile(path, "utf8"));
}

type Document = Readonly<Record<string, unknown>>;

/** The one manifest in an OCI layout. */
async function manifestIn(layout: string): Promise<Document> {
  const { manifests } = (await json(join(layout, "index.json"))) as { manifests: { digest: Digest }[] };
  const [manifest] = manifests;
  assert.ok(manifest);
  return (await json(join(layout, blobPath(manifest.digest)))) as Document;
}

async function configIn(layout: string): Promise<Document> {
  const { config } = (await manifestIn(layout)) as { config: { digest: Digest } };
  return (await json(join(layout, blobPath(config.digest)))) as Document;
}

test("the image holds blanks and line ends at the ends of build args, labels, annotations, names and paths", async () => {
  await using site = await makeSite(`${writeArgs}RUN --mount=type=secret,id=s cp /run/secrets/s /s\n`);
  await rename(join(site.inputs, "app"), join(site.inputs, "app "));
  await mkdir(join(site.inputs, "keys"));
  await writeFile(join(site.inputs, "keys/one "), " secret \n");
  const labels = { ...ends, "blank ": " v ", " lead": "x\n" };
  const annotations = { "org.example.note": " n \r\n", "org.example.line": "x\n", "org.example.blank": " " };
  const run = await site.put({
    context: "app ",
    build_args: ends,
    labels,
    annotations,
    secrets: { s: { file: "keys/one " } },
  });
  const got = await site.get(run, { unpack_rootfs: true, output_oci: true });
  await assertArgsIn(got);
  assert.equal(await readFile(join(got, "rootfs/s"), "utf8"), " secret \n");
  assert.deepEqual(await json(join(got, "labels.json")), labels);
  assert.deepEqual((await manifestIn(join(got, "image")))["annotations"], annotations);
});

test("a task's image holds blanks and line ends at the ends of BUILD_ARG_* and LABEL_*", async () => {
  await using site = await makeSite(writeArgs);
  const env = Object.fromEntries(
    Object.entries(ends).flatMap(([name, value]) => [
      [`BUILD_ARG_${name}`, value],
      [`LABEL_${name}`, value],
    ]),
  );
  const run = await runResource("build", {
    cwd: site.inputs,
    env: { CONTEXT: "app", UNPACK_ROOTFS: "true", ...env },
  });
  assert.equal(run.status, 0, run.output);
  await assertArgsIn(join(site.inputs, "image"));
  assert.deepEqual(await json(join(site.inputs, "image/labels.json")), ends);
});

test("files of args and labels are read with a byte order mark, and refused as UTF-16", async () => {
  await using site = await makeSite("ARG FIRST=default\nRUN echo $FIRST > /result\n");
  await writeFile(join(site.inputs, "args"), "\uFEFFFIRST=one\nSECOND=two\n");
  await writeFile(join(site.inputs, "labels.yml"), "\uFEFFfirst: &v one\nsecond: *v\nthird:\n");
  const run = await site.put({ build_args_file: "args", labels_file: "labels.yml" });
  const got = await site.get(run);
  assert.equal(await result(got), "one\n");
  assert.deepEqual(await json(join(got, "labels.json")), { first: "one", second: "one", third: "" });
  await writeFile(join(site.inputs, "wide"), Buffer.from("\uFEFFFIRST=one\n", "utf16le"));
  assertFailedCleanly(
    await site.put({ build_args_file: "wide" }),
    /build_args_file: "wide" is not a text file: it is UTF-16; save it as UTF-8/,
  );
  await writeFile(join(site.inputs, "shell"), "export FIRST=one\n");
  assertFailedCleanly(await site.put({ build_args_file: "shell" }), /shell line 1: .* without "export"/);
});

test("a file that git has fetched without LFS is told as a pointer", async () => {
  await using site = await makeSite("");
  const pointer = `version https://git-lfs.github.com/spec/v1\noid sha256:${"4d".repeat(32)}\nsize 12345\n`;
  await writeFile(join(site.inputs, "pointer"), pointer);
  for (const params of [
    { build_args_file: "pointer" },
    { dockerfile: "pointer" },
    { tags_file: "pointer", context: "app" },
    { image_args: { base: "pointer" } },
  ])
    assertFailedCleanly(
      await site.put(params, { repository: "127.0.0.1:1/app", insecure: true, directory: undefined }),
      /is a pointer of Git LFS, and the file that it stands for wasn't fetched: have the get/,
    );
});

for (const param of ["build_args_file", "labels_file"]) {
  test(`a put that reads a YAML ${param} of very many keys ends soon after SIGTERM`, async () => {
    await using site = await makeSite("");
    const keys = Array.from({ length: 155_000 }, (_, index) => `${index.toString(16)}:\n`).join("");
    await writeFile(join(site.inputs, "big.yml"), keys);
    const started = await site.startPut({ [param]: "big.yml" });
    await started.wrote(/building with/);
    const begun = performance.now();
    started.kill("SIGTERM");
    const run = await started.result;
    assert.equal(run.status, 143, run.output);
    assert.deepEqual(run.leftovers, []);
    assert.ok(performance.now() - begun < 8000, "it heard SIGTERM late");
  });
}

/** Ids of secrets that people have. */
const ids = [".npmrc", ".netrc", "GIT_AUTH_TOKEN.git.example:8443", "aws/credentials", "me@shop.example"];

test("secrets and ssh keys have the ids that people use: .npmrc, a host with a port, a path", async () => {
  const dockerfile = [
    "RUN --mount=type=secret,target=/root/.npmrc,required=true cat /root/.npmrc >> /result",
    ...ids.slice(1).map((id) => `RUN --mount=type=secret,id=${id},target=/t,required=true cat /t >> /result`),
    "RUN --mount=type=secret,id=aws/credentials cat /run/secrets/credentials >> /result",
    "RUN --mount=type=ssh,id=git.example:2222/a,required=true [ -S $SSH_AUTH_SOCK ] && echo ssh >> /result",
  ].join("\n");
  await using site = await makeSite(`${dockerfile}\n`);
  await mkdir(join(site.inputs, "keys"));
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(site.inputs, "keys/id")]);
  for (const [index, id] of ids.entries()) await writeFile(join(site.inputs, `keys/${index}`), `${id}\n`);
  const expected = [...ids, "aws/credentials", "ssh"].map((line) => `${line}\n`).join("");
  const files = Object.fromEntries(ids.map((id, index) => [id, { file: `keys/${index}` }]));
  const texts = Object.fromEntries(ids.map((id) => [id, { text: `${id}\n` }]));
  const ssh = { "git.example:2222/a": "keys/id" };
  for (const secrets of [files, texts])
    assert.equal(await result(await site.get(await site.put({ secrets, ssh }))), expected);
  const pasted = {
    BUILDKIT_SSH: "git.example:2222/a=keys/id",
    ...Object.fromEntries(ids.map((id, index) => [`BUILDKIT_SECRET_${id}`, `keys/${index}`])),
  };
  assert.equal(await result(await site.get(await site.put(pasted))), expected);
  const env = { CONTEXT: "app", UNPACK_ROOTFS: "true", ...pasted };
  const run = await runResource("build", { cwd: site.inputs, env });
  assert.equal(run.status, 0, run.output);
  assert.equal(await result(join(site.inputs, "image")), expected);
  for (const id of ["a/../b", "..", "a//b", "a b", "a,b"]) {
    assertFailedCleanly(await site.put({ secrets: { [id]: { text: "x" } } }), /expected up to 200 letters/);
  }
});

test("fail_on_warnings heeds what the Dockerfile's # check= skips", async () => {
  await using site = await makeSite("");
  const put = (directives: string, params = {}) =>
    site.put({
      contexts: { more: "app" },
      dockerfile_inline: `${directives}FROM scratch\nCOPY --from=more Dockerfile /f\nCMD /f true\n`,
      fail_on_warnings: true,
      ...params,
    });
  for (const directives of [
    "# check=skip=JSONArgsRecommended\n",
    "#!/usr/bin/env builder\n# escape=\\\n# CHECK = skip=StageNameCasing,JSONArgsRecommended;error=false\n",
    "# check=skip=all\n",
  ]) {
    versionOf(await put(directives));
  }
  const found = /lint violation found for rules: JSONArgsRecommended/;
  for (const directives of ["", "# check=error=false\n", "# a comment\n# check=skip=all\n"])
    assertFailedCleanly(await put(directives), found);
  await writeFile(join(site.inputs, "args"), "BUILDKIT_DOCKERFILE_CHECK=error=false\n");
  assertFailedCleanly(await put("", { build_args_file: "args" }), found);
  assertFailedCleanly(
    await put("# check=skip=\n", { build_args: { BUILDKIT_DOCKERFILE_CHECK: "nonsense=1" } }),
    /invalid check option/,
  );
});

test("fail_on_warnings takes an image arg for the default that its ARG lacks, and no other arg", async () => {
  await using site = await makeSite("");
  await using image = await createPrivateFolder("test-image");
  const layout = await writeLayout(image.path);
  await execa("cp", ["-r", layout.folder, join(site.inputs, "base")]);
  const put = (dockerfile: string, params = {}) =>
    site.put({
      dockerfile_inline: dockerfile,
      fail_on_warnings: true,
      image_args: { base: "base" },
      ...params,
    });
  const run = await put(`ARG base\nFROM \${base}\nCOPY Dockerfile /\n`);
  versionOf(run);
  assert.doesNotMatch(run.stderr, /InvalidDefaultArgInFrom/);
  versionOf(
    await put("# check=error=true\nARG base\nFROM $base\nCOPY Dockerfile /\n", { fail_on_warnings: false }),
  );
  assertFailedCleanly(
    await put(`ARG other\nFROM \${other}\nCOPY Dockerfile /\n`, { build_args: { other: "scratch" } }),
    /lint violation found for rules: InvalidDefaultArgInFrom/,
  );
});

test("a file of build args can't undo what the params say of times", async () => {
  await using site = await makeSite("ARG SOURCE_DATE_EPOCH\nRUN echo $SOURCE_DATE_EPOCH > /result\n");
  await writeFile(join(site.inputs, "args"), "SOURCE_DATE_EPOCH=86400\n");
  const run = await site.put({ reproducible: true, build_args_file: "args" });
  const got = await site.get(run);
  assert.equal(await result(got), "0\n");
  assert.equal((await stat(join(got, "rootfs/result"))).mtimeMs, 0);
  assertFailedCleanly(
    await site.put({ reproducible: true, build_args: { SOURCE_DATE_EPOCH: 86400 } }),
    /params: reproducible and the build arg SOURCE_DATE_EPOCH both say/,
  );
  const file = await site.get(await site.put({ build_args_file: "args" }));
  assert.equal(await result(file), "86400\n");
});

test("platforms are written as BuildKit reads them, with a version of Windows, and in any case", async () => {
  await using site = await makeSite("");
  const dockerfile = "FROM scratch\nARG TARGETPLATFORM\nCOPY Dockerfile /for-$TARGETPLATFORM\n";
  await writeFile(join(site.inputs, "app/Dockerfile"), dockerfile);
  const windows = await site.put({ platforms: ["windows(10.0.17763.1)/AMD64"] });
  const got = await site.get(windows, { output_oci: true });
  const config = await configIn(join(got, "image"));
  assert.equal(config["os"], "windows");
  assert.equal(config["os.version"], "10.0.17763.1");
  const folded = await site.put({ IMAGE_PLATFORM: "Linux/ARM64 , LINUX/arm/V7", reproducible: true });
  const { version } = versionOf(
    await site.put({ platforms: ["linux/arm64", "linux/arm/v7"], reproducible: true }),
  );
  assert.deepEqual(versionOf(folded).version, version);
  const misplaced = await site.put({ platforms: ["windows/amd64(10.0.17763.1)"] });
  assertFailedCleanly(
    misplaced,
    /params\.platforms\.0: expected os\[\(version\)\]\/architecture\[\/variant\], .*windows\(10\.0\.17763\)\/amd64/,
  );
});

test("expand puts Concourse's variables into args, labels and annotations of the params, and no other variable", async () => {
  await using site = await makeSite("ARG A\nARG B\nRUN echo $A > /result; echo $B >> /result\n");
  await writeFile(join(site.inputs, "args"), "B=file $BUILD_ID\n");
  const run = await site.put({
    expand: true,
    build_args: { A: `ci-$BUILD_ID-\${BUILD_NAME}-$BUILD_IDS-$HOME-$PATH-$-\${` },
    build_args_file: "args",
    labels: { url: `\${BUILD_URL_SHORT}#$BUILD_JOB_NAME` },
    annotations: { "org.example.build": "$BUILD_ID" },
  });
  assert.doesNotMatch(run.stderr, /warning/);
  const got = await site.get(run, { unpack_rootfs: true, output_oci: true });
  assert.equal(await result(got), `ci-4242-12-$BUILD_IDS-$HOME-$PATH-$-\${\nfile $BUILD_ID\n`);
  assert.deepEqual(await json(join(got, "labels.json")), {
    url: "https://concourse.example/builds/4242#build",
  });
  assert.deepEqual((await manifestIn(join(got, "image")))["annotations"], { "org.example.build": "4242" });
  const oneOff = await site.put(
    { expand: true, labels: { job: "$BUILD_JOB_NAME" } },
    {},
    { env: { BUILD_JOB_NAME: undefined } },
  );
  assertFailedCleanly(oneOff, /^error: labels\.job: this build has no BUILD_JOB_NAME/m);
});

test("without expand Concourse's variables stay as they are, with a warning that names them", async () => {
  await using site = await makeSite("ARG A\nRUN echo $A > /result\n");
  const run = await site.put({
    build_args: { A: "$BUILD_ID" },
    labels: { l: `a \${BUILD_NAME}`, other: "$HOME" },
  });
  assert.match(run.stderr, /warning: build_args\.A: \$BUILD_ID stays as it is: .* "expand: true"/);
  assert.match(run.stderr, /warning: labels\.l: \$\{BUILD_NAME\} stays as it is/);
  assert.doesNotMatch(run.stderr, /labels\.other/);
  assert.equal(await result(await site.get(run)), "$BUILD_ID\n");
});

test("a build arg that no ARG takes is warned of, with the nearest ARG", async () => {
  await using site = await makeSite("ARG VERSION=1 \\\n  OTHER\nONBUILD ARG LATER\n");
  await writeFile(join(site.inputs, "args"), "ELSEWHERE=1\n");
  const build_args = { VERSON: "1", OTHER: "1", LATER: "1", HTTP_PROXY: "", TARGETARCH: "x", UNRELATED: "1" };
  const run = await site.put({ build_args, build_args_file: "args" });
  const warnings = run.stderr.split("\n").filter((line) => line.startsWith("warning:"));
  assert.deepEqual(warnings, [
    'warning: build_args.VERSON: no ARG of app/Dockerfile takes this value; did you mean "VERSION"?',
    'warning: build_args.UNRELATED: no ARG of app/Dockerfile takes this value; add "ARG UNRELATED" to it, or leave it out',
  ]);
});
