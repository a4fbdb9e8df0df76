import assert from "node:assert/strict";
import { test } from "node:test";
import { createProgressBoard, type ProgressBoard } from "../../../src/builder/progress/board.ts";
import type { BuildDescription } from "../../../src/builder/progress/build-description.ts";
import type { FollowedSolve } from "../../../src/builder/progress/followed-solve.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";
import { createTestStep } from "../../support/runs/test-step.ts";

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, seconds)).toISOString();
const daemon = "one";

const build: BuildDescription = { names: namesOfPut, hasLogin: (host) => host === "known.example" };

function boardOf(style: "steps" | "plain" = "steps"): { board: ProgressBoard; logged: () => string } {
  const { log, logged } = createTestStep();
  return { board: createProgressBoard({ log, style, build }), logged };
}

/** Statuses as BuildKit sends them. */
function tell(solve: FollowedSolve, event: object): void {
  solve.write(Buffer.from(`${JSON.stringify(event)}\n`));
}
const vertex = (name: string, more: object = {}) => ({ digest: `sha256:${name}`, name, ...more });
const log = (name: string, text: string) => ({
  vertex: `sha256:${name}`,
  data: Buffer.from(text).toString("base64"),
});

/** What is logged when BuildKit's import of a layer cache ends with this error. */
function loggedFor(error: string): string {
  const { board, logged } = boardOf();
  const following = board.follow({ daemon });
  const name = "importing cache manifest from registry.example/app:cache";
  tell(following, { vertexes: [vertex(name, { started: at(0), completed: at(1), error })] });
  assert.equal(following.end().failure, undefined);
  return logged();
}

test("a layer cache that can't be used is told, with the reason", () => {
  assert.match(loggedFor("connection refused"), /layer cache not used \(.*app:cache\): connection refused/);
});

const head = (host: string) => `HEAD request to https://${host}/v2/app/manifests/cache`;
const refusals: readonly (readonly [string, RegExp])[] = [
  [
    `failed to configure registry cache importer: unexpected status from ${head("other.example")}: 401 Unauthorized`,
    /401 Unauthorized; give username and password for other\.example under "registries" in the source$/m,
  ],
  [
    `failed to configure registry cache importer: unexpected status from ${head("known.example")}: 403 Forbidden`,
    /403 Forbidden; it refuses the user given for known\.example: check username and password, and what/,
  ],
  [
    "push access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
    /; give username and password for registry\.example under "registries" in the source$/m,
  ],
  [
    'failed to do request: Head "https://r.example:5000/v2/app/manifests/cache": http: server gave HTTP response to HTTPS client',
    /; that registry uses plain http: set "insecure: true" for r\.example:5000 under "registries" in the source$/m,
  ],
  [
    'failed to do request: Head "https://r.example/v2/app/manifests/cache": tls: failed to verify certificate: x509: certificate signed by unknown authority',
    /; its certificate is not trusted: give its CA as "ca_certs" in the source/,
  ],
];

test("a layer cache that a registry refuses is told with what to change", () => {
  for (const [error, expected] of refusals) assert.match(loggedFor(error), expected);
});

test("a layer cache that isn't there yet, or is left by an abort, is no trouble", () => {
  assert.doesNotMatch(loggedFor("registry.example/app:cache: not found"), /not used/);
  assert.doesNotMatch(loggedFor("rpc error: code = Canceled desc = context canceled"), /not used/);
  assert.doesNotMatch(loggedFor("failed to solve: context canceled"), /not used/);
});

const run = "[build 2/2] RUN make";

test("a step that two solves share is shown once, with each byte of its output once, and counts once", () => {
  for (const style of ["steps", "plain"] as const) {
    const { board, logged } = boardOf(style);
    const solves = ["main", "test"].map((label) => board.follow({ label, daemon }));
    for (const solve of solves) tell(solve, { vertexes: [vertex(run, { started: at(0) })] });
    for (const solve of solves) tell(solve, { logs: [log(run, "part1-")] });
    for (const solve of solves) tell(solve, { logs: [log(run, "part2\nno line end")] });
    for (const solve of solves)
      tell(solve, { vertexes: [vertex(run, { started: at(0), completed: at(2) })] });
    const summaries = solves.map((solve) => solve.end());
    assert.equal(logged().match(/RUN make/g)?.length, 1, logged());
    assert.equal(logged().match(/part1-part2\n/g)?.length, 1, logged());
    assert.equal(logged().match(/no line end\n/g)?.length, 1, logged());
    assert.deepEqual(
      summaries.map(({ steps }) => steps.run),
      [1, 0],
    );
    assert.match(board.timings().join("\n"), /^ {2}2\.0 s +\[build 2\/2\] RUN make$/m);
  }
});

test("the output of a shared step goes on when the solve that told it first has ended", () => {
  const { board, logged } = boardOf();
  const [first, second] = [board.follow({ label: "a", daemon }), board.follow({ label: "b", daemon })];
  for (const solve of [first, second]) tell(solve, { vertexes: [vertex(run, { started: at(0) })] });
  tell(first, { logs: [log(run, "one\n")] });
  first.end();
  tell(second, { logs: [log(run, "one\n")] });
  tell(second, { logs: [log(run, "two\n")] });
  assert.match(logged(), /^\[build 2\/2\] RUN make\n\[build 2\/2\] one\n\[build 2\/2\] two\n$/);
});

test("a step that failed and is run again, or runs on another daemon, has its own output", () => {
  const { board, logged } = boardOf();
  for (const [each, error] of [
    [daemon, "failed to copy"],
    [daemon, ""],
    ["two", ""],
  ] as const) {
    const solve = board.follow({ daemon: each });
    tell(solve, { vertexes: [vertex(run, { started: at(0) })], logs: [log(run, "said\n")] });
    tell(solve, { vertexes: [vertex(run, { started: at(0), completed: at(0), error })] });
    solve.end();
  }
  assert.equal(logged().match(/\] said\n/g)?.length, 3, logged());
});

test("a cached step is shown as cached, and stays so while its layer is fetched", () => {
  const { board, logged } = boardOf();
  const solve = board.follow({ daemon });
  tell(solve, { vertexes: [vertex(run, { started: at(0), completed: at(0), cached: true })] });
  tell(solve, { vertexes: [vertex(run, { started: at(1) })] });
  tell(solve, { vertexes: [vertex(run, { started: at(1), completed: at(5) })] });
  assert.equal(logged(), "[build 2/2] RUN make, cached\n");
  assert.deepEqual(solve.end().steps, { run: 0, cached: 1 });
  assert.deepEqual(board.timings(), []);
});

test("steps before a COPY whose file isn't there are not told to be cached, as BuildKit does", () => {
  const { board, logged } = boardOf();
  const solve = board.follow({ daemon });
  const error = 'failed to calculate checksum of ref oip1::5ya3: "/nosuch": not found';
  const guessed = { started: at(1), completed: at(1), cached: true };
  tell(solve, {
    vertexes: [
      vertex("[1/4] COPY a /", { started: at(0), completed: at(0), cached: true }),
      vertex("[2/4] COPY b /", guessed),
      vertex("[3/4] RUN exit 3", guessed),
      vertex("[4/4] COPY nosuch /", { started: at(1), completed: at(2), error }),
    ],
  });
  solve.end();
  assert.match(logged(), /COPY nosuch/);
  assert.match(logged(), /COPY a/);
  assert.doesNotMatch(logged(), /COPY b|RUN exit 3/);
});

test("a step that is found in a cache after it has begun is told to be cached", () => {
  const { board, logged } = boardOf();
  const solve = board.follow({ daemon });
  tell(solve, { vertexes: [vertex(run, { started: at(0) })] });
  tell(solve, { vertexes: [vertex(run, { started: at(0), completed: at(1), cached: true })] });
  assert.equal(logged(), "[build 2/2] RUN make\n[build 2/2] was cached\n");
});

test("a FROM that is found in a cache after it has begun says no more", () => {
  const { board, logged } = boardOf();
  const solve = board.follow({ daemon });
  const from = "[1/2] FROM docker.io/library/debian:12@sha256:47ca";
  tell(solve, { vertexes: [vertex(from, { started: at(0) })] });
  tell(solve, { vertexes: [vertex(from, { started: at(0), completed: at(1), cached: true })] });
  assert.equal(logged(), `${from}\n`);
});

test("steps of a stage FROM scratch carry the name of the platform that they are for, if there is one", () => {
  const { board, logged } = boardOf();
  const solve = board.follow({ daemon });
  const done = { started: at(0), completed: at(0) };
  const step = (digest: string, name: string, inputs: readonly string[] = []) => ({
    digest,
    name,
    inputs,
    ...done,
  });
  tell(solve, {
    vertexes: [
      step("c", "[internal] load build context"),
      step("a", "[linux/amd64 build 2/2] RUN one"),
      step("b", "[linux/amd64->arm64 build 2/2] RUN two"),
      step("a1", "[stage-1 1/2] COPY --from=build /x /", ["a"]),
      step("b1", "[stage-1 1/2] COPY --from=build /x /", ["b"]),
      step("a2", "[stage-1 2/2] COPY y /", ["a1", "c"]),
      step("n", "[empty 1/1] COPY y /", ["c"]),
      step("m", "[mixed 1/1] COPY z /", ["a", "b"]),
    ],
  });
  assert.deepEqual(
    logged()
      .split("\n")
      .filter((line) => /COPY/.test(line)),
    [
      "[linux/amd64 stage-1 1/2] COPY --from=build /x /",
      "[linux/arm64 stage-1 1/2] COPY --from=build /x /",
      "[linux/amd64 stage-1 2/2] COPY y /",
      "[empty 1/1] COPY y /",
      "[mixed 1/1] COPY z /",
    ],
  );
});

test("a base image's bytes and time are told when it takes over a second", () => {
  const { board, logged } = boardOf();
  const solve = board.follow({ daemon });
  const from = "[1/2] FROM docker.io/library/debian:12@sha256:47ca";
  const layer = { id: "sha256:8adb", vertex: `sha256:${from}`, total: 48e6, current: 48e6 };
  tell(solve, { vertexes: [vertex(from, { started: at(0) })] });
  tell(solve, { statuses: [{ ...layer, started: at(0), completed: at(1) }] });
  tell(solve, { vertexes: [vertex(from, { started: at(0), completed: at(3) })] });
  assert.match(logged(), /^\[1\/2\] 48\.0 MB pulled and unpacked, 3\.0 s$/m);
  assert.deepEqual(board.timings(), ["  3.0 s      48.0 MB pulled and unpacked of base images"]);
  assert.deepEqual(solve.end().steps, { run: 0, cached: 0 });
});

test("export and push are told by themselves, and the slowest first", () => {
  const { board } = boardOf();
  const solve = board.follow({ daemon });
  const name = "exporting to image";
  const part = (id: string, from: number, to: number) => ({
    id,
    vertex: `sha256:${name}`,
    started: at(from),
    completed: at(to),
  });
  tell(solve, { vertexes: [vertex(name, { started: at(0) })] });
  tell(solve, { statuses: [part("exporting layers", 0, 2), part("pushing layers", 2, 6)] });
  tell(solve, { statuses: [part("pushing manifest for registry.example/app", 6, 7)] });
  tell(solve, { vertexes: [vertex(name, { started: at(0), completed: at(7) })] });
  assert.deepEqual(board.timings(), ["  5.0 s      pushing the image", "  2.0 s      exporting the image"]);
});

test("steps carry the platform of their solve where several solves build for one each", () => {
  const { board, logged } = boardOf();
  for (const platform of ["linux/amd64", "linux/arm64"]) {
    const solve = board.follow({ daemon: platform, platform });
    tell(solve, { vertexes: [vertex(run, { started: at(0) })] });
  }
  const other = board.follow({ daemon: "other", platform: "linux/arm64" });
  tell(other, { vertexes: [vertex("[linux/arm64 1/1] RUN make", { started: at(0) })] });
  assert.match(logged(), /^\[linux\/amd64 build 2\/2\] RUN make\n\[linux\/arm64 build 2\/2\] RUN make\n/);
  assert.match(logged(), /^\[linux\/arm64 1\/1\] RUN make$/m);
});

test("a long instruction is cut in its title, and what a failing RUN runs stands once in the message", () => {
  const { board, logged } = boardOf();
  const command = "echo a-long-line && ".repeat(100);
  const name = `[3/3] RUN ${command}false`;
  const solve = board.follow({ daemon });
  const error = `process "/bin/sh -c ${command}false" did not complete successfully: exit code: 1`;
  tell(solve, { vertexes: [vertex(name, { started: at(0) })], logs: [log(name, "a-long-line\n")] });
  tell(solve, { vertexes: [vertex(name, { started: at(0), completed: at(1), error })] });
  const excerpt = `Dockerfile:5\n--------------------\n   5 | >>> RUN ${command}false\n--------------------`;
  solve.write(Buffer.from(`${excerpt}\nerror: failed to solve: ${error}\n`));
  const failure = solve.end().failure?.message ?? "";
  assert.ok(
    logged()
      .split("\n")
      .every((line) => line.length < 200),
    logged(),
  );
  assert.match(failure, /^step \[3\/3\] failed\nthe end of its output:\n {2}a-long-line\n/);
  assert.equal(failure.match(/RUN /g)?.length, 1, failure);
  assert.match(failure, /\nexit code: 1$/);
  assert.ok(failure.length < 600, failure);
});

test("progress: plain numbers each step, and counts steps, cached ones and warnings as steps does", () => {
  for (const style of ["steps", "plain"] as const) {
    const { board, logged } = boardOf(style);
    const solve = board.follow({ daemon });
    const copy = "[build 1/2] COPY a /";
    tell(solve, { vertexes: [vertex(copy, { started: at(0), completed: at(0), cached: true })] });
    tell(solve, { vertexes: [vertex(run, { started: at(0) })], logs: [log(run, "made\n")] });
    tell(solve, { vertexes: [vertex(run, { started: at(0), completed: at(2) })] });
    const short = Buffer.from("JSONArgsRecommended: use JSON (line 5)").toString("base64");
    tell(solve, { warnings: [{ short, range: [{ start: { line: 5 } }] }] });
    const { steps, warnings } = solve.end();
    assert.deepEqual(steps, { run: 1, cached: 1 });
    assert.deepEqual(warnings, ["Dockerfile:5: JSONArgsRecommended: use JSON"]);
    assert.match(logged(), /warning: Dockerfile:5: JSONArgsRecommended/);
    if (style === "plain")
      assert.match(
        logged(),
        /^#1 \[build 1\/2\] COPY a \/\n#1 CACHED\n#2 \[build 2\/2\] RUN make\n#2 \d+\.\d{3} made\n#2 DONE 2\.0 s\n/,
      );
  }
});
