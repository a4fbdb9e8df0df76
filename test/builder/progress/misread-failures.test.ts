import assert from "node:assert/strict";
import { test } from "node:test";
import type { BuildDescription } from "../../../src/builder/progress/build-description.ts";
import { explain } from "../../../src/builder/progress/explanations.ts";
import { parseVertexName } from "../../../src/builder/progress/step.ts";
import { describeBuild } from "../../../src/builder/solve/describe-build.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

/** @param output of the step's program */
function told(
  reason: string,
  build: Omit<BuildDescription, "names">,
  name = "[2/2] RUN x",
  output = "",
): string {
  const failed = { name: parseVertexName(name), fullName: name, lastLines: output.split("\n") };
  return explain(reason, { names: namesOfPut, ...build }, failed);
}

const inputs = { dockerfile: undefined, context: { kind: "git", url: "x" }, secrets: [] } as const;
const options = {
  names: namesOfPut,
  shown: ".",
  access: { hosts: new Map() },
  cache: { locations: [] },
  isOwn: true,
  sourcePolicy: undefined,
  ssh: {},
  ulimits: {},
};

test("a login that a context's URL gives is not missed in a RUN that mounts it", () => {
  const id = "GIT_AUTH_HEADER.git.example";
  const build = describeBuild({ ...inputs, secrets: [{ id, file: "/x" }] }, options);
  const step = `[2/2] RUN --mount=type=secret,id=${id} make`;
  assert.equal(told("exit code: 2", build, step), "exit code: 2");
  assert.match(
    told("exit code: 2", describeBuild(inputs, options), step),
    /a secret that it mounts isn't given/,
  );
});

const cantFork = "sh: 1: Cannot fork";
const noFiles = "open /x: too many open files";
test("a limit is told as this step's only if BuildKit and its programs have this step's limits", () => {
  const own = describeBuild(inputs, options);
  const elsewhere = describeBuild(inputs, { ...options, isOwn: false });
  const withUlimits = describeBuild(inputs, { ...options, ulimits: { nofile: "10" } });
  assert.match(
    told("exit code: 2", own, undefined, cantFork),
    /^exit code: 2; this step has as many processes/,
  );
  for (const build of [elsewhere, withUlimits, {}])
    assert.equal(told("exit code: 2", build, undefined, cantFork), "exit code: 2");
  for (const build of [own, withUlimits])
    assert.match(told(noFiles, build), /; this step has as many files open/);
  assert.equal(told(noFiles, elsewhere), noFiles);
});

test("a program that calls a file too large doesn't mean this step's limit", () => {
  const own = describeBuild(inputs, options);
  assert.equal(told("exit code: 1", own, undefined, "upload.bin: file too large"), "exit code: 1");
  assert.match(told("write /x: file too large", own), /larger than this step may write/);
});

test("a COPY that can't read a file of a layer is not told as a layer that can't be unpacked", () => {
  const reason =
    "failed to compute cache key: failed to calculate checksum of ref a::b: lstat /var/lib/buildkit/runc-overlayfs/snapshots/snapshots/7/fs/x: permission denied";
  assert.equal(told(reason, {}, "[2/2] COPY x /"), reason);
  assert.equal(
    told(
      'failed to compute cache key: failed to Lchown "/var/lib/buildkit/runc-overlayfs/snapshots/snapshots/7/fs/a" for UID 0, GID 42: lchown /var/lib/buildkit/runc-overlayfs/snapshots/snapshots/7/fs/a: invalid argument',
      {},
    ),
    'a layer of a base image can\'t be unpacked (failed to Lchown "/a" for UID 0, GID 42: lchown /a: invalid argument)',
  );
});

test("a member's type is shown without control characters", () => {
  for (const [code, shown] of [
    [27, "0x1b"],
    [0, "0x00"],
    [155, "0x9b"],
    [86, '"V"'],
  ] as const)
    assert.ok(
      told(`failed to compute cache key: unhandled tar header type ${code}`, {}).includes(
        `a member of its archive has the type ${shown}, which BuildKit doesn't read;`,
      ),
    );
});

const context = (names: readonly string[] | undefined) => ({
  name: "app",
  holds: (path: string) => path === "lib/",
  list: () => names,
  ignoreFile: () => undefined,
});

test("a folder that can't be read is not called empty", () => {
  const reason = 'failed to compute cache key: failed to calculate checksum of ref a::b: "/lib/x": not found';
  assert.match(told(reason, { context: context([]) }, "[1/1] COPY lib/x /"), /its folder lib is empty/);
  assert.doesNotMatch(told(reason, { context: context(undefined) }, "[1/1] COPY lib/x /"), /empty/);
});
