import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { gone, killProcesses, newMark } from "../support/runs/processes.ts";
import { assertFailedCleanly, type Run, runResource } from "../support/runs/resource.ts";
import { makeRepository, startGitServer } from "../support/servers/git-server.ts";
import { startRegistry } from "../support/servers/registry.ts";

/** Runs a task with a Dockerfile and these variables. It has one output, in which nothing may be found afterwards. */
async function call(dockerfile: string, env: Readonly<Record<string, string>>): Promise<Run> {
  await using folder = await createPrivateFolder("test-calls");
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/Dockerfile"), dockerfile);
  const run = await runResource("build", {
    cwd: folder.path,
    env: { CONTEXT: "app", NO_COLOR: "1", ...env },
  });
  assert.deepEqual(await readdir(join(folder.path, "image")), [], "something was delivered");
  assert.deepEqual((await readdir(folder.path)).toSorted(), ["app", "image"]);
  return run;
}

/** Asserts that a call has succeeded, and answers its log. */
function logOf(run: Run): string {
  assert.equal(run.status, 0, run.output);
  assert.equal(run.stdout, "");
  assert.deepEqual(run.leftovers, []);
  return run.stderr;
}

/** Its RUN would fail, if it were run. */
const faulty = `FROM scratch AS base
RUN ["/no-such-program"]
FROM base AS Unused
MAINTAINER a@b.example
FROM base AS last
CMD start it
`;

test("CALL: check runs the checks alone, on all stages, and names rule, file and line", async () => {
  const log = logOf(await call(faulty, { CALL: "check" }));
  const warnings = log.split("\n").filter((line) => line.startsWith("warning: "));
  const places = warnings.flatMap(
    (line) => /^warning: (\S+:\d+: \w+): .+ \(https:\S+\)$/.exec(line)?.[1] ?? [],
  );
  assert.deepEqual(places, [
    "app/Dockerfile:3: StageNameCasing",
    "app/Dockerfile:4: MaintainerDeprecated",
    "app/Dockerfile:6: JSONArgsRecommended",
  ]);
  assert.match(log, /^checked: 3 warnings$/m);
  assert.doesNotMatch(log, /no-such-program|built in/);
});

test("CALL: check fails for warnings only if they count as errors, and heeds what the Dockerfile skips", async () => {
  const strict = await call(faulty, { CALL: "check", FAIL_ON_WARNINGS: "true", TARGET: "last" });
  assertFailedCleanly(
    strict,
    /^warning: app\/Dockerfile:6: JSONArgsRecommended: [\s\S]*^error: .*lint violation/m,
  );
  const directive = "# check=skip=StageNameCasing,MaintainerDeprecated,JSONArgsRecommended\n";
  const log = logOf(await call(directive + faulty, { CALL: "check", FAIL_ON_WARNINGS: "true" }));
  assert.match(log, /^checked: no warnings$/m);
});

test("CALL: check fails for a Dockerfile that can't be built, in a stage that no target needs too", async () => {
  const unused = "FROM 127.0.0.1:1/nowhere:1 AS unused\nFROM scratch AS last\nCOPY a /\n";
  assertFailedCleanly(
    await call(unused, { CALL: "check" }),
    /image 127\.0\.0\.1:1\/nowhere:1 can't be pulled/,
  );
  assert.match(logOf(await call(unused, { CALL: "check", TARGET: "last" })), /^checked: no warnings$/m);
});

test("CALL: check names file and line of an instruction that is none, and why warnings count as errors", async () => {
  for (const [line, why] of [
    ["COYP a b", /^unknown instruction: COYP/m],
    ["RUN <<EOF", /^the heredoc has no end: /m],
    ["RUN --mount=type=cahce,target=/m true", /^unsupported mount type "cahce" \(did you mean cache\?\)$/m],
    ["RUN --mount=type=cache true", /^a mount can't be at "\/": add a path to it, as in target=\/path$/m],
    ["COPY --chmod=u+y Dockerfile /", /^--chmod can't be read: expected /m],
  ] as const) {
    const run = await call(`FROM scratch\n${line}\n`, { CALL: "check" });
    assertFailedCleanly(run, why);
    assert.ok(
      run.stderr.startsWith(`error: app/Dockerfile:2\n   1 |     FROM scratch\n   2 | >>> ${line}\n`),
    );
  }
  for (const text of ["ARG a\n", "# a comment\n", ""]) {
    const missing = text.startsWith("ARG") ? "FROM" : "instructions";
    for (const name of ["check", "targets"])
      assertFailedCleanly(
        await call(text, { CALL: name }),
        new RegExp(`^(error: )?app/Dockerfile has no ${missing}: it has to begin with FROM`, "m"),
      );
  }
  assertFailedCleanly(
    await call("# check=error=true\nFROM scratch\nMAINTAINER me\n", { CALL: "check" }),
    /^error: lint violation found for rules: MaintainerDeprecated: warnings count as errors, by FAIL_ON_WARNINGS or the Dockerfile's "# check=error=true".*"# check=skip=MaintainerDeprecated"/m,
  );
});

test("args are those that BuildKit's parser sees: in continued lines, but not in a heredoc", async () => {
  const odd = `# check=skip=all
# escape=\`
FROM scratch
ARG one=1 \`
  # a comment
  two=2
ONBUILD ARG three
COPY <<END /x
ARG four
END
`;
  const args = ["one", "two", "three", "four"].map((name) => [`BUILD_ARG_${name}`, "x"]);
  const log = logOf(await call(odd, { CALL: "check", ...Object.fromEntries(args) }));
  assert.deepEqual(log.match(/^warning: \S+/gm), ["warning: BUILD_ARG_four:"]);
});

test("CALL: outline lists targets, args, secrets, SSH keys and cache mounts, and heeds no warning", async () => {
  const dockerfile = `# check=error=true
FROM scratch AS Base
# VERSION of the program
ARG VERSION=1.0
ARG EXTRA
RUN --mount=type=secret,id=npmrc,required=true --mount=type=secret,id=token echo $VERSION $EXTRA
RUN --mount=type=ssh,id=git --mount=type=cache,id=npm-$VERSION,target=/root/.npm true
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked true
FROM scratch AS other
# last is what runs
FROM base AS last
`;
  const log = logOf(await call(dockerfile, { CALL: "outline", BUILD_ARG_EXTRA: "more" }));
  const tables = `
TARGET           DESCRIPTION
base
other
last (default)   is what runs

TARGET:      last
DESCRIPTION: is what runs

BUILD ARG   VALUE   DESCRIPTION
VERSION     1.0     of the program
EXTRA       more

SECRET   REQUIRED
npmrc    true
token

SSH   REQUIRED
git

CACHE MOUNT      TARGET           SHARING
npm-1.0          /root/.npm       shared
/var/cache/apt   /var/cache/apt   locked
`;
  // Secrets of one instruction are in no certain order.
  const sorted = log.replace("token\nnpmrc    true\n", "npmrc    true\ntoken\n");
  assert.ok(`\n${sorted}`.endsWith(tables), log);
  const other = logOf(await call(dockerfile, { CALL: "outline", TARGET: "other" }));
  assert.match(other, /\n\nTARGET: other\n$/);
  const nothing = logOf(await call("FROM scratch\nCOPY Dockerfile /\n", { CALL: "outline" }));
  assert.match(nothing, /^\(without a name\) \(default\)\n\nthe default target takes no build args/m);
});

test("CALL: check warns of what the Dockerfile doesn't use, as a put does", async () => {
  const dockerfile = "FROM scratch\nARG VERSION\nCOPY Dockerfile /\n";
  const log = logOf(
    await call(dockerfile, {
      CALL: "check",
      BUILD_ARG_VERSOIN: "1",
      BUILDKIT_SECRETTEXT_npmrc: "text",
      BUILDKIT_OPTION_hostnmae: "a",
    }),
  );
  assert.match(
    log,
    /^warning: .*VERSOIN: no ARG of app\/Dockerfile takes this value; did you mean "VERSION"\?$/m,
  );
  assert.match(log, /^warning: .*npmrc.*: no RUN of app\/Dockerfile mounts it/m);
  assert.match(log, /^warning: .*hostnmae: .* ignores it; did you mean "hostname"\?$/m);
  assert.match(log, /^checked: 3 warnings$/m);
});

test("no answer shows a secret, even as a build arg's value or in the Dockerfile's text", async () => {
  const secret = "correct-horse-battery";
  const dockerfile = `FROM scratch AS Base\n# TOKEN like ${secret}\nARG TOKEN\nARG OTHER=${secret}\nRUN --mount=type=secret,id=token echo $TOKEN $OTHER\nFROM base AS last-${secret}\nMAINTAINER ${secret}\n`;
  for (const name of ["check", "outline", "targets"]) {
    const log = logOf(
      await call(dockerfile, {
        CALL: name,
        TARGET: "base",
        BUILD_ARG_TOKEN: secret,
        BUILDKIT_SECRETTEXT_token: secret,
      }),
    );
    assert.doesNotMatch(log, new RegExp(secret), name);
    if (name === "outline") assert.match(log, /^TOKEN +\*{3} /m);
  }
});

test("CALL: targets lists the stages alone", async () => {
  assert.match(
    logOf(await call(faulty, { CALL: "targets" })),
    /^TARGET +DESCRIPTION\nbase\nunused\nlast \(default\)\n$/m,
  );
});

test("a check comment above an instruction, or where no directive counts any more, ends no daemon", async () => {
  const dockerfile = `# a comment
# check=error=true
FROM scratch AS base
MAINTAINER one
# check=skip=MaintainerDeprecated
MAINTAINER two
# app is what runs
FROM base AS app
`;
  const log = logOf(await call(dockerfile, { CALL: "check" }));
  assert.match(log, /^warning: app\/Dockerfile:4: MaintainerDeprecated[^\n]*\nchecked: 1 warning$/m);
  for (const name of ["outline", "targets"])
    assert.match(
      logOf(await call(dockerfile, { CALL: name })),
      /^TARGET +DESCRIPTION\nbase\napp \(default\) +is what runs$/m,
    );
});

test("a check comment in a Dockerfile that only BuildKit reads ends no daemon: of a git repository, or a base's ONBUILD", async () => {
  await using folder = await createPrivateFolder("test-calls");
  const repository = join(folder.path, "app.git");
  await mkdir(repository);
  await using registry = await startRegistry();
  // The text of a trigger may be anything: it comes from whoever made the image.
  const layout = await writeLayout(join(folder.path, "layout"), {
    config: { OnBuild: ["# check=skip=all\nMAINTAINER one"] },
  });
  await pushLayout(layout.folder, `${registry.host}/base:1`);
  const commented = `FROM ${registry.host}/base:1 AS base\n# check=skip=MaintainerDeprecated\nMAINTAINER two\n`;
  await writeFile(join(repository, "Dockerfile"), commented);
  await makeRepository(repository);
  await using server = await startGitServer(folder.path, { user: "a", password: "b" });
  const context = `http://a:b@${server.host}/app.git/.git`;
  // This asks for the stages too, and for an outline.
  assert.match(logOf(await call("", { CALL: "check", CONTEXT: context })), /^checked: no warnings$/m);
});

test("a daemon that dies while it is asked is named with that", async () => {
  await using folder = await createPrivateFolder("test-calls");
  const repository = join(folder.path, "app.git");
  await mkdir(repository);
  await writeFile(join(repository, "Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n");
  await makeRepository(repository);
  const mark = newMark();
  const kill = () => killProcesses(mark, /^buildkitd\0/);
  await using server = await startGitServer(folder.path, { user: "a", password: "b" }, kill);
  const context = `http://a:b@${server.host}/app.git/.git`;
  const run = await call("", { CALL: "targets", CONTEXT: context, [mark]: "1" });
  assertFailedCleanly(run, /^error: buildkitd was (ended|killed) .*SIGKILL/m);
  await gone(mark);
});

test("a frontend that can only build is named as the cause, with what to do", async () => {
  await using folder = await createPrivateFolder("test-calls");
  await using registry = await startRegistry();
  const layout = await writeLayout(join(folder.path, "layout"));
  await pushLayout(layout.folder, `${registry.host}/frontend:1`);
  const dockerfile = `# syntax=${registry.host}/frontend:1\nFROM scratch\nCOPY Dockerfile /\n`;
  for (const name of ["check", "outline", "targets"]) {
    const run = await call(dockerfile, { CALL: name });
    assertFailedCleanly(
      run,
      /"# syntax=" line .* answers no such question .*: name docker\/dockerfile:1\.8 or newer/,
    );
  }
});

test("a call that there isn't is refused", async () => {
  assertFailedCleanly(
    await call(faulty, { CALL: "lint" }),
    /^error: CALL: expected one of build, check, outline, targets/m,
  );
});
