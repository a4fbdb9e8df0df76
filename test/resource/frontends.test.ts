import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { pushFrontend } from "../support/images/frontends.ts";
import { busyboxLayer, pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { said } from "../support/runs/mount-builds.ts";
import { makeSite, result, type Site } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, runResource } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { makeRepository, startGitServer } from "../support/servers/git-server.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [registry, folder] = await untilTestsEnd(startRegistry(), createPrivateFolder("test-frontends"));

const forDockerfiles = await pushFrontend("dockerfile", registry.host, folder.path);
const forSteps = await pushFrontend("steps", registry.host, folder.path);
const base = await writeLayout(join(folder.path, "base"), {
  layers: [await busyboxLayer()],
  config: { Env: ["PATH=/bin"] },
});
await pushLayout(base.folder, `${registry.host}/base:1`);

/** A site whose Dockerfile is this text alone, and whose puts keep cache mounts. */
async function siteOf(text: string, name: string): Promise<Site> {
  const site = await makeSite("", {
    repository: `${registry.host}/${name}`,
    insecure: true,
    cache: { mounts: true },
  });
  await writeFile(join(site.inputs, "app/Dockerfile"), text);
  return site;
}

const steps = `FROM ${registry.host}/base:1
WORKDIR /app
ARG round
RUN --mount=type=cache,target=/m echo $round >> /m/rounds && cp /m/rounds /result
`;

for (const [by, syntax, params] of [
  ["a Dockerfile names", `# syntax=${forDockerfiles}\n`, {}],
  ["a build arg names", "", { BUILDKIT_SYNTAX: forDockerfiles }],
] as const) {
  test(`a frontend that ${by} builds, and its cache mounts are restored and saved`, async () => {
    await using site = await siteOf(syntax + steps, `app-${syntax.length}`);
    for (const [round, told] of [
      ["1", "cache mounts: 0 restored, 0 B; 1 saved, 2 B"],
      ["2", "cache mounts: 1 restored, 2 B; 1 saved, 4 B"],
    ] as const) {
      const run = await site.put({ build_args: { round, ...params } });
      assert.equal(said(run), told, run.stderr);
      assert.doesNotMatch(run.stderr, /^warning/m);
      if (round === "2") assert.equal(await result(await site.get(run)), "1\n2\n");
    }
  });
}

test("a frontend of another language builds, and that its cache mounts aren't kept is told", async () => {
  const text = `base: ${registry.host}/base:1\nstep: /m echo $round >> /m/rounds; cp /m/rounds /result\n`;
  for (const [syntax, args] of [
    [`# syntax=${forSteps}\n`, {}],
    ["", { BUILDKIT_SYNTAX: forSteps }],
  ] as const) {
    await using site = await siteOf(syntax + text, "steps");
    const secrets = { token: { text: "correct-horse" } };
    const run = await site.put({ build_args: { round: "1", ...args }, secrets });
    assert.equal(await result(await site.get(run)), "1\n");
    assert.match(
      run.stderr,
      /^cache mounts: not kept, because the Dockerfile has no FROM: it is written for another frontend than Docker's/m,
    );
    // What a Dockerfile would have to use isn't missed here.
    assert.doesNotMatch(run.stderr, /^warning/m);
  }
});

test("a frontend that ends when it is asked for stages is named as the cause, with what to do", async () => {
  const repository = join(folder.path, "app.git");
  await mkdir(repository);
  const commented = `# syntax=${forDockerfiles}\nFROM scratch\n# check=skip=all\nMAINTAINER me\n`;
  await writeFile(join(repository, "Dockerfile"), commented);
  await makeRepository(repository);
  await using server = await startGitServer(folder.path, { user: "a", password: "b" });
  await mkdir(join(folder.path, "task"));
  const env = { CALL: "targets", CONTEXT: `http://a:b@${server.host}/app.git/.git` };
  const run = await runResource("build", { cwd: join(folder.path, "task"), env });
  assertFailedCleanly(
    run,
    /^the frontend that .*"# syntax=" line .* names ended with exit code: 2; .* if a "# check=" comment is above/m,
  );
});
