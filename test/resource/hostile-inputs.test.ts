import assert from "node:assert/strict";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";

/** What lies among the inputs: the bytes of a file (or `FIFO`, for one that nobody ever writes to), or a link. */
type Input = string | Uint8Array | { readonly link: string };

const fifo = "FIFO";
const outside = { link: "/etc/passwd" };

async function put(inputs: Readonly<Record<string, Input>>, params: Readonly<Record<string, unknown>>) {
  await using folder = await createPrivateFolder("test-inputs");
  const root = join(folder.path, "inputs");
  const all: Readonly<Record<string, Input>> = {
    "app/Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
    ...inputs,
  };
  for (const [path, input] of Object.entries(all)) {
    const at = join(root, path);
    await mkdir(dirname(at), { recursive: true });
    if (input === fifo) await execa("mkfifo", [at]);
    else if (typeof input === "string" || input instanceof Uint8Array) await writeFile(at, input);
    else await symlink(input.link, at);
  }
  return await runResource("out", {
    args: [root],
    stdin: { source: sourceFor(params, folder.path), params: { context: "app", ...params } },
    env: { NO_COLOR: "1" },
  });
}

/** Tags need a registry. No request reaches this one, because the params are refused before. */
function sourceFor(params: Readonly<Record<string, unknown>>, folder: string) {
  return "tags_file" in params ? { repository: "127.0.0.1:1/app" } : { directory: join(folder, "builds") };
}

/** Params that name one file each, and how a message names them. */
const fileParams: readonly (readonly [string, (path: string) => Readonly<Record<string, unknown>>])[] = [
  ["dockerfile", (path) => ({ dockerfile: path })],
  ["build_args_file", (path) => ({ build_args_file: path })],
  ["labels_file", (path) => ({ labels_file: path })],
  ["target_file", (path) => ({ target_file: path })],
  ["tags_file", (path) => ({ tags_file: path })],
  ["secrets.x", (path) => ({ secrets: { x: { file: path } } })],
  ["ssh.x", (path) => ({ ssh: { x: path } })],
  ["image_args.x", (path) => ({ image_args: { x: path } })],
  ["contexts.x", (path) => ({ contexts: { x: path } })],
];

for (const [name, params] of fileParams) {
  test(`${name} names a file of the inputs and nothing else`, async () => {
    const files = {
      "a/fifo": fifo,
      "a/out": outside,
      "a/loop": { link: "loop" },
      "a/zero": { link: "/dev/zero" },
    };
    const said = async (path: string) => {
      const run = await put(files, params(path));
      assertFailedCleanly(run, new RegExp(`^error: ${name.replace(".", "\\.")}: `, "m"));
      return run.stderr;
    };
    assert.match(await said("a/fifo"), /is neither file nor folder; expected a file/);
    assert.match(await said("a/loop"), /is a symlink that leads back to itself/);
    for (const path of ["a/out", "a/zero"])
      assert.match(await said(path), /goes through a symlink that leads out of the put's folder/);
    for (const path of ["../../etc/passwd", "/etc/passwd"])
      assert.match(await said(path), /leads out of the put's folder/);
  });
}

interface Odd {
  readonly what: string;
  readonly inputs: Readonly<Record<string, Input>>;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message: RegExp;
}

const linked = { "app/linked": { link: "Dockerfile" } };
const layout = { "image/oci-layout": '{"imageLayoutVersion":"1.0.0"}', "image/blobs/sha256/x": "" };

const odd: readonly Odd[] = [
  {
    what: "an ignore file that is a FIFO",
    inputs: { ...linked, "app/linked.dockerignore": fifo },
    params: { dockerfile: "app/linked" },
    message: /the Dockerfile's ignore file: .* is neither file nor folder/,
  },
  {
    what: "an ignore file that leads out of the inputs",
    inputs: { ...linked, "app/linked.dockerignore": outside },
    params: { dockerfile: "app/linked" },
    message: /the Dockerfile's ignore file: .* leads out of the put's folder/,
  },
  {
    what: "an image whose archive leads out of its folder",
    inputs: { "image/image.tar": outside },
    params: { image_args: { x: "image" } },
    message: /image_args\.x: "image\.tar" is reached by a symbolic link that leads out of the inputs/,
  },
  {
    what: "an image layout whose index is a FIFO",
    inputs: { ...layout, "image/index.json": fifo },
    params: { image_args: { x: "image" } },
    message: /image_args\.x: "index\.json" is not a regular file/,
  },
  {
    what: "an image layout whose blobs are elsewhere, where none is that it names",
    inputs: {
      "image/oci-layout": layout["image/oci-layout"],
      "image/index.json": '{"schemaVersion":2,"manifests":[]}',
      "image/blobs/sha256": { link: "/etc" },
    },
    params: { contexts: { x: "image" } },
    message: /contexts\.x: the layout's index\.json lists no image/,
  },
  {
    what: "build args with a NUL",
    inputs: { "a/args": "A=b\0c\n" },
    params: { build_args_file: "a/args" },
    message: /build_args_file: "a\/args" is not a text file: it holds a NUL character/,
  },
  {
    what: "build args that are not UTF-8",
    inputs: { "a/args": Buffer.from("A=\xff\xfe\n", "latin1") },
    params: { build_args_file: "a/args" },
    message: /build_args_file: "a\/args" is not a text file: it is not UTF-8/,
  },
  {
    what: "labels nested without end",
    inputs: { "a/labels.yml": `a: ${"[".repeat(100_000)}` },
    params: { labels_file: "a/labels.yml" },
    message: /labels_file: a\/labels\.yml/,
  },
  {
    what: "labels that are their own aliases",
    inputs: { "a/labels.yml": "a: &a [*a, *a]\nb: [*a, *a]\n" },
    params: { labels_file: "a/labels.yml" },
    message: /labels_file: a\/labels\.yml line 1: a: expected a string, a number or a boolean, found a list/,
  },
  {
    what: "a build arg that is larger than an argument can be",
    inputs: { "a/args": `LARGE=${"x".repeat(200_000)}\n` },
    params: { build_args_file: "a/args" },
    message: /build-arg:LARGE has 200016 bytes; .* 131071 .*file of the context/,
  },
  {
    what: "labels that together are larger than arguments can be",
    inputs: {},
    params: {
      labels: Object.fromEntries(Array.from({ length: 100 }, (_, index) => [index, "x".repeat(100_000)])),
    },
    message: /build args, labels and annotations are together larger than/,
  },
];

for (const { what, inputs, params, message } of odd) {
  test(`${what} is refused, and nothing waits for it`, async () => {
    const run: Run = await put(inputs, params);
    assertFailedCleanly(run, message);
    assert.ok(run.output.length < 1000, run.output.slice(0, 2000));
  });
}

test("FIFOs, devices' links and links that lead out are in a context what they are, and are not followed", async () => {
  const run = await put(
    { "app/fifo": fifo, "app/out": outside, "app/loop": { link: "loop" }, "app/.dockerignore": fifo },
    {},
  );
  versionOf(run);
});
