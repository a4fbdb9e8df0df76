import assert from "node:assert/strict";
import { test } from "node:test";
import { findOpenings, globalArgs } from "../../../src/builder/cache-mounts/stage-openings.ts";

const amd64 = { os: "linux", architecture: "amd64" };
const arm64 = { os: "linux", architecture: "arm64" };

const openings = (dockerfile: string, wanted: readonly string[], platforms = [amd64]) =>
  findOpenings(
    { dockerfile, buildArgs: {}, targets: [""], platforms, buildPlatform: amd64 },
    new Set(wanted),
  );

const use = (id: string) => `RUN --mount=type=cache,id=${id},target=/m true\n`;

test("an opening has what the filesystem depends on, up to the first step that makes something", () => {
  const dockerfile = `FROM --platform=$BUILDPLATFORM base:1 AS main
LABEL a=b
ARG dir=/app \\
  other
ENV sub=\${dir}/sub
USER 5
WORKDIR $sub
EXPOSE 80
COPY . .
WORKDIR /late
${use("one")}`;
  assert.deepEqual(openings(dockerfile, ["one"]), [
    {
      from: "--platform=$BUILDPLATFORM base:1 AS main",
      instructions: ["ARG dir=/app   other", `ENV sub=\${dir}/sub`, "USER 5", "WORKDIR $sub"],
      hasLayer: true,
    },
  ]);
});

test("without a WORKDIR there is no layer, and a stage that ends before its first step has all of it", () => {
  assert.deepEqual(openings(`FROM a\nENV b=c\n${use("one")}WORKDIR /late\n`, ["one"]), [
    { from: "a", instructions: ["ENV b=c"], hasLayer: false },
  ]);
  assert.deepEqual(openings(`FROM a AS first\nWORKDIR /b\nFROM first\n${use("one")}`, ["one"]), [
    { from: "a AS first", instructions: ["WORKDIR /b"], hasLayer: true },
  ]);
});

/** A stage that uses a mount. */
const stage = (name: string, id: string, from = name) => `FROM ${from} AS s-${name}\nWORKDIR /\n${use(id)}`;

test("only stages count that are built, use a wanted mount and begin with an image, each once", () => {
  const dockerfile = `${stage("unused", "one")}${stage("a", "one")}${stage("b", "two")}${stage("c", "one", "scratch")}\
${stage("d", "one", "s-a")}${stage("e", "three")}FROM scratch
COPY --from=s-d / /
COPY --from=s-b / /
COPY --from=s-c / /
COPY --from=s-e / /
`;
  const froms = (...wanted: string[]) => openings(dockerfile, wanted, [amd64, arm64]).map(({ from }) => from);
  assert.deepEqual(froms("one"), ["a AS s-a"]);
  assert.deepEqual(froms("two", "one"), ["a AS s-a", "b AS s-b"]);
  assert.deepEqual(froms("none"), []);
});

test("args before the first FROM are those that FROM may use", () => {
  assert.deepEqual(globalArgs('# a\nARG one=1 two\narg three="x y"\nFROM $one\nARG four\n'), [
    "ARG one=1 two",
    'ARG three="x y"',
  ]);
});
