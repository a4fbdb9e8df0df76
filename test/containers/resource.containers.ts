import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type Container, startContainer } from "../support/containers/container.ts";
import { putIn, writeApp } from "../support/containers/puts.ts";
import { pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { assertRecord } from "../support/runs/schemas.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { startRegistry } from "../support/servers/registry.ts";
import { buildingKinds } from "./matrix.ts";

const [registry] = await untilTestsEnd(startRegistry());
/** The file /mark says `one` in its image 1, and `two` in its image 2. */
const base = `${registry.host}/base`;
before(async () => {
  await using folder = await createPrivateFolder("test-base");
  for (const [tag, content] of Object.entries({ 1: "one", 2: "two" })) {
    const { folder: layout } = await writeLayout(join(folder.path, tag), {
      layers: [[{ name: "mark", content }]],
    });
    await pushLayout(layout, `${base}:${tag}`);
  }
});

const policyOf = (action: string, more: object) => ({
  rules: [{ action, selector: { identifier: `docker-image://${base}:1` }, ...more }],
});

const portOf = (address: string): number => Number(/:(\d+)/.exec(address)?.[1]);

for (const [kind] of buildingKinds)
  describe(`in a container of the kind ${kind}`, () => {
    let container: Container;
    before(async () => {
      container = await startContainer(kind, { ports: [portOf(registry.host)] });
    });
    after(() => container[Symbol.asyncDispose]());

    test("cache mounts, layers of a cache, several targets, a policy and the record are as elsewhere", async () => {
      const repository = `${registry.host}/app-${kind}`;
      const registries = { [registry.host]: { insecure: true } };
      const source = { repository, registries, cache: { mounts: true } };
      const params = {
        target: "app",
        additional_targets: ["other"],
        source_policy: policyOf("CONVERT", { updates: { identifier: `docker-image://${base}:2` } }),
        secrets: { word: { text: "a-secret-word" } },
      };
      const put = async (round: string) => {
        await writeApp(
          container,
          `RUN echo once > /once
RUN --mount=type=secret,id=word,env=WORD --mount=type=cache,target=/m,uid=7 echo ${round} \${#WORD} >> /m/rounds && cp /m/rounds /result
FROM ${base}:1 AS other
FROM ${base}:1 AS app
COPY --from=shell /result /once /
`,
        );
        const run = await putIn(container, source, params);
        assert.equal(run.exitCode, 0, run.stderr);
        return run;
      };
      const first = await put("one");
      assert.match(first.stderr, /^cache mounts: 0 restored, 0 B; 1 saved, 7 B/m);
      const second = await put("two");
      assert.match(second.stderr, /^cache mounts: 1 restored, 7 B; 1 saved, 14 B/m);
      assert.match(second.stderr, /: \d steps run, [1-9] of \d cached/);
      assert.doesNotMatch(first.stderr + second.stderr, /warning: /);
      const { version } = JSON.parse(second.stdout);
      const got = await container.exec(["/opt/resource/in", "/tmp/build/get"], {
        input: JSON.stringify({ source, version, params: { unpack_rootfs: true } }),
      });
      assert.equal(got.exitCode, 0, got.stderr);
      const { stdout: files } = await container.exec([
        "sh",
        "-c",
        "cd /tmp/build/get && cat rootfs/mark other/rootfs/mark rootfs/result rootfs/once",
      ]);
      assert.equal(files, "twotwoone 13\ntwo 13\nonce\n");
      const record: unknown = JSON.parse(await readFile(join(container.build, "get/build.json"), "utf8"));
      assertRecord(record);
      assert.doesNotMatch(JSON.stringify(record), /a-secret-word/);
    });

    test("a source that the policy forbids is named with its rule", async () => {
      await writeApp(container, `FROM ${base}:1\nCOPY busybox /\n`);
      const source = { directory: "/tmp/builds", registries: { [registry.host]: { insecure: true } } };
      const put = await putIn(container, source, { source_policy: policyOf("DENY", {}) });
      assert.equal(put.exitCode, 1, put.stderr);
      assert.match(put.stderr, /base:1 is refused by rules\.0 of source_policy \(DENY /);
    });

    test("a task asks about a Dockerfile, and builds nothing", async () => {
      await writeApp(
        container,
        "# VERSION of the program\nARG VERSION=1.0\nMAINTAINER a@b.example\nRUN exit 7\n",
      );
      const answers = {
        check: /^checked: 1 warning$/m,
        outline: /^VERSION +1\.0 +of the program$/m,
        targets: /^shell \(default\)$/m,
      };
      for (const [call, answer] of Object.entries(answers)) {
        const env = { CONTEXT: "app", CALL: call, NO_COLOR: "1" };
        const task = await container.exec(["build"], { cwd: "/tmp/build/put", env });
        assert.equal(task.exitCode, 0, task.stderr);
        assert.match(task.stderr, answer);
      }
    });

    test("a farm behind a name builds what the container itself need not", async () => {
      await using daemon = await startBuildkitd({ listen: "tcp" });
      const port = portOf(daemon.address.slice("tcp://".length));
      await using folder = await createPrivateFolder("test-hosts");
      const from = join(folder.path, "hosts");
      await writeFile(from, "127.0.0.1 farm.example\n");
      const binds = [{ from, to: "/etc/hosts" }];
      await using away = await startContainer(kind, { ports: [port], binds });
      await writeApp(away, "RUN echo far\n");
      const buildkit = { address: `tcp://farm.example:${port}`, resolve: "all" };
      const put = await putIn(away, { directory: "/tmp/builds", buildkit });
      assert.equal(put.exitCode, 0, put.stderr);
      assert.match(put.stderr, /building with BuildKit at tcp:\/\/127\.0\.0\.1:/);
    });
  });
