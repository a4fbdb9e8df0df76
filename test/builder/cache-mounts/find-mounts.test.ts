import assert from "node:assert/strict";
import { test } from "node:test";
import type { FindMounts } from "../../../src/builder/cache-mounts/dockerfile-stages.ts";
import { findMounts } from "../../../src/builder/cache-mounts/find-mounts.ts";
import { mountKey } from "../../../src/builder/cache-mounts/mount-flags.ts";

const amd64 = { os: "linux", architecture: "amd64" };

/** The mounts of a Dockerfile's last stage, unless told otherwise. */
function mounts(dockerfile: string, more: Partial<FindMounts> = {}): string[] {
  const found = findMounts({
    dockerfile,
    buildArgs: {},
    targets: [""],
    platforms: [amd64],
    buildPlatform: amd64,
    ...more,
  });
  assert.deepEqual(found.leftOut, []);
  return found.mounts.map(mountKey);
}

const run = (name: string) => `RUN --mount=type=cache,target=/${name} true\n`;

test("an id is the cleaned target unless one is given, and owners and modes belong to a mount", () => {
  const flags = [
    "type=cache,target=/root/.npm",
    "type=cache,dst=/a//b/../c/",
    "target=relative/./x,type=CACHE",
    "type=cache,id=named,target=/x,sharing=locked",
    "type=cache,target=/y,mode=0755,gid=3,uid=2",
    "type=cache,target=/y,uid=002,gid=3,mode=755",
    "type=cache,target=/z,mode=00700",
    "type=cache,target=/read,readonly",
    "type=secret,id=token",
    "type=bind,target=/src",
    "type=tmpfs,target=/tmp",
  ];
  const all = `RUN ${flags.map((flag) => `--mount=${flag}`).join(" ")} --network=none make --mount=type=cache,target=/no\n`;
  assert.deepEqual(mounts(`FROM a\n${all}`), [
    "/root/.npm",
    "/a/c",
    "relative/x",
    "named",
    "/y,uid=2,gid=3,mode=755",
    "/z,uid=0,gid=0,mode=700",
    "/read",
  ]);
});

test("values of ARG and ENV are filled in, as the stage sees them", () => {
  const dockerfile = `ARG base=scratch name=global
ARG unseen=x
FROM $base AS one
ARG name
ARG other=def$name
ENV dir=/e \\
    twice="$dir/$name"
RUN --mount=type=cache,target=/$name --mount=type=cache,target=/\${other} true
FROM one
RUN --mount=type=cache,target=\${dir}/\${unseen:-none}\${name:+-set} --mount=type=cache,id=x$twice,target=/z true
ENV old form
RUN --mount=type=cache,target=/$old true
`;
  assert.deepEqual(mounts(dockerfile), ["/global", "/defglobal", "/e/none-set", "x/global", "/form"]);
  assert.deepEqual(mounts(dockerfile, { buildArgs: { name: "given", unseen: "given" } }), [
    "/given",
    "/defgiven",
    "/e/none-set",
    "x/given",
    "/form",
  ]);
});

test("each platform's own args count", () => {
  const dockerfile =
    "FROM a\nARG TARGETARCH\nARG TARGETPLATFORM\nRUN --mount=type=cache,id=$TARGETPLATFORM-$TARGETARCH,target=/x true\n";
  assert.deepEqual(
    mounts(dockerfile, { platforms: [amd64, { os: "linux", architecture: "arm", variant: "v7" }] }),
    ["linux/amd64-amd64", "linux/arm/v7-arm"],
  );
});

test("only stages that the targets are made of count", () => {
  const dockerfile = `FROM a AS base
${run("base")}FROM b AS copied
${run("copied")}FROM c AS mounted
${run("mounted")}FROM d AS unused
${run("unused")}FROM Base AS main
COPY --from=1 --chown=1 /x /x
RUN --mount=from=mounted,target=/y true
FROM e AS test
${run("test")}`;
  assert.deepEqual(mounts(dockerfile, { targets: ["main"] }), ["/base", "/copied", "/mounted"]);
  assert.deepEqual(mounts(dockerfile), ["/test"]);
  assert.deepEqual(mounts(dockerfile, { targets: ["unused", "TEST"] }), ["/unused", "/test"]);
});

test("comments, continued lines, heredocs and another escape character are read as BuildKit does", () => {
  const dockerfile = `# syntax=docker/dockerfile:1
# escape=\`
FROM a
# RUN --mount=type=cache,target=/comment true
RUN --mount=type=cache,target=/one \`
  # a comment between

  --mount="type=cache,target=/two" true
RUN <<EOF cat && cat <<-"END"
RUN --mount=type=cache,target=/heredoc true
EOF
RUN --mount=type=cache,target=/heredoc true
	END
run --mount=type=cache,target=/three true
COPY <<a <<b /
a
RUN --mount=type=cache,target=/file true
b
`;
  assert.deepEqual(mounts(dockerfile), ["/one", "/two", "/three"]);
});

test("what can't be named, or begins with another content, is left out and told", () => {
  const dockerfile = `FROM a
ARG id=x
RUN --mount=type=cache,target=/a,from=b --mount=type=cache,target=/c,source=/d true
RUN --mount=type=cache,target=\${id%x} --mount=type=cache,target=$GOPATH/pkg --mount=type=cache,id=$HOME,target=/y true
RUN --mount=type=cache,target=/e,uid=me true
ENV GOCACHE=$GOPATH/cache
RUN --mount=type=cache,target=$GOCACHE --mount=type=cache,target=/${"x".repeat(600)} true
`;
  const found = findMounts({
    dockerfile,
    buildArgs: {},
    targets: [""],
    platforms: [amd64],
    buildPlatform: amd64,
  });
  assert.deepEqual(found.mounts, []);
  assert.deepEqual(found.leftOut, [
    "/a (its content begins with that of something else: from or source)",
    "/c (its content begins with that of something else: from or source)",
    '"" (its target can\'t be copied)',
    "/pkg (its target has $GOPATH, which the Dockerfile doesn't set: give the mount an id)",
    "/y (its id has $HOME, which the Dockerfile doesn't set: give the mount another id)",
    "/e (its uid)",
    '"" (its target has $GOCACHE, which the Dockerfile doesn\'t set: give the mount an id)',
    `/${"x".repeat(79)}… (its target can't be copied)`,
  ]);
});

test("a stage begins with what ONBUILD tells of the stage that it is built on, and of no other", () => {
  const dockerfile = `FROM a AS base
ONBUILD ARG name=on
ONBUILD RUN --mount=type=cache,target=/$name <<EOF
RUN --mount=type=cache,target=/heredoc true
EOF
${run("base")}FROM base AS one
${run("one")}FROM one
${run("two")}`;
  assert.deepEqual(mounts(dockerfile, { targets: ["base"] }), ["/base"]);
  assert.deepEqual(mounts(dockerfile), ["/base", "/on", "/one", "/two"]);
});

test("a variable that nothing sets is empty if there is no base image to set it", () => {
  const dockerfile =
    "FROM scratch AS one\nARG declared\nRUN --mount=type=cache,target=/a$unset/b true\nFROM one\nRUN --mount=type=cache,id=c$unset$declared,target=/m true\n";
  assert.deepEqual(mounts(dockerfile), ["/a/b", "c"]);
  assert.deepEqual(mounts("FROM a\nARG declared\nRUN --mount=type=cache,id=c$declared,target=/m true\n"), [
    "c",
  ]);
});
