import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, type Executable, responseOf, runResource } from "../support/runs/resource.ts";

const nowhere = { directory: "/nonexistent/builds" };
const noSuchVersion = { digest: `sha256:${"0".repeat(63)}1` };

interface Refused {
  readonly what: string;
  readonly executable: Executable;
  readonly stdin: unknown;
  readonly message: RegExp;
}

const put = (params: unknown) => ({ source: nowhere, params });

const refused: readonly Refused[] = [
  { what: "nothing on stdin", executable: "out", stdin: "", message: /stdin is empty; expected/ },
  { what: "a request that was cut off", executable: "out", stdin: '{"source":', message: /is not JSON/ },
  {
    what: "a request that is a list",
    executable: "check",
    stdin: [],
    message: /is a list; expected an object/,
  },
  {
    what: "a misspelt param",
    executable: "out",
    stdin: put({ contxt: "app" }),
    message: /there is no param "contxt"; did you mean "context"\?/,
  },
  {
    what: "a misspelt field of the source",
    executable: "check",
    stdin: { source: { directry: "/builds" } },
    message: /there is no "directry"; did you mean "directory"\?/,
  },
  {
    what: "a param of a get that is one of a put",
    executable: "in",
    stdin: { source: nowhere, version: noSuchVersion, params: { platforms: ["linux/arm64"] } },
    message: /there is no "platforms"; a get delivers one of them: platform: linux\/arm64/,
  },
  {
    what: "both forms of one param",
    executable: "out",
    stdin: put({ context: "app", CONTEXT: "app" }),
    message: /context and CONTEXT are two forms of one param/,
  },
  {
    what: "a list where a string is meant",
    executable: "out",
    stdin: put({ context: "app", build_args: { VERSION: [1] } }),
    message: /params\.build_args\.VERSION: expected a string, found a list/,
  },
  {
    what: "a null where a string is meant",
    executable: "out",
    stdin: put({ context: "app", labels: { team: null } }),
    message: /params\.labels\.team: expected a string \("" for an empty one\), found nothing \(null\)/,
  },
  {
    what: "a source without a store",
    executable: "check",
    stdin: { source: {} },
    message: /expected repository .* or directory/,
  },
  {
    what: "a source with two stores",
    executable: "check",
    stdin: { source: { ...nowhere, repository: "registry.example/app" } },
    message: /repository and directory are both given/,
  },
  {
    what: "a version that no put gave",
    executable: "in",
    stdin: { source: nowhere, version: { digest: "latest" } },
    message: /version: digest is "latest"; expected sha256:/,
  },
  {
    what: "a version of a store that isn't there",
    executable: "in",
    stdin: { source: nowhere, version: noSuchVersion },
    message: /there is no such folder on this worker/,
  },
];

for (const { what, executable, stdin, message } of refused) {
  test(`${what} is refused with what to change`, async () => {
    await using folder = await createPrivateFolder("test-requests");
    const run = await runResource(executable, { stdin, args: [folder.path] });
    assertFailedCleanly(run, message);
    assert.deepEqual(await readdir(folder.path), []);
  });
}

test("an input that the put doesn't have is answered with the line to add", async () => {
  await using folder = await createPrivateFolder("test-requests");
  await mkdir(join(folder.path, "put/app"), { recursive: true });
  const run = await runResource("out", {
    stdin: { source: { directory: join(folder.path, "builds") }, params: { context: "repo" } },
    args: [join(folder.path, "put")],
  });
  assertFailedCleanly(run, /artifact "repo" is not among the put's inputs.*add "inputs: \[repo\]"/);
});

test("a Dockerfile that fails is answered with the step, its last lines and the place in the Dockerfile", async () => {
  await using folder = await createPrivateFolder("test-requests");
  await mkdir(join(folder.path, "put/app"), { recursive: true });
  const dockerfile = 'FROM scratch AS one\nCOPY Dockerfile /\nFROM one\nRUN ["/missing"]\n';
  await writeFile(join(folder.path, "put/app/Dockerfile"), dockerfile);
  const run = await runResource("out", {
    stdin: { source: { directory: join(folder.path, "builds") }, params: { context: "app" } },
    args: [join(folder.path, "put")],
    env: { NO_COLOR: "1" },
  });
  assertFailedCleanly(run, /error: step \[stage-1 1\/1\] failed$/m);
  assert.match(run.stderr, /the end of its output:\n {2}.*no such file/);
  assert.match(run.stderr, /app\/Dockerfile:4\n/);
  assert.match(run.stderr, /4 \| >>> RUN/);
  assert.match(run.stderr, /^exit code: 1; the image has no program "\/missing": /m);
  assert.deepEqual(await readdir(join(folder.path, "builds")), []);
});

test("a registry that is down is named before anything is built", async () => {
  await using folder = await createPrivateFolder("test-requests");
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  const run = await runResource("out", {
    stdin: { source: { repository: "127.0.0.1:1/app" }, params: { context: "app" } },
    args: [folder.path],
  });
  assertFailedCleanly(run, /repository 127\.0\.0\.1:1\/app: .*connection refused; check the host/);
  assert.doesNotMatch(run.stderr, /COPY/);
});

test("a BuildKit elsewhere that is down is named with its address", async () => {
  await using folder = await createPrivateFolder("test-requests");
  await mkdir(join(folder.path, "put/app"), { recursive: true });
  await writeFile(join(folder.path, "put/app/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  const source = {
    directory: join(folder.path, "builds"),
    buildkit: { address: "tcp://127.0.0.1:1" },
  };
  const run = await runResource("out", {
    stdin: { source, params: { context: "app" } },
    args: [join(folder.path, "put")],
  });
  assertFailedCleanly(run, /BuildKit at tcp:\/\/127\.0\.0\.1:1 can't be used: .*connection refused/);
});

test("a check echoes the version that Concourse knows, and has none of its own", async () => {
  const source = { repository: "registry.example/app" };
  assert.deepEqual(responseOf(await runResource("check", { stdin: { source, version: null } })), []);
  assert.deepEqual(responseOf(await runResource("check", { stdin: { source } })), []);
  const known = { stdin: { source, version: noSuchVersion } };
  assert.deepEqual(responseOf(await runResource("check", known)), [noSuchVersion]);
  for (const version of ["latest", { digest: 1 }, [noSuchVersion]]) {
    const run = await runResource("check", { stdin: { source, version } });
    assertFailedCleanly(run, /request\.version.*expected/);
  }
});
