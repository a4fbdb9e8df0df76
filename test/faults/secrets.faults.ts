import assert from "node:assert/strict";
import { copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { gunzipSync } from "node:zlib";
import { execa } from "execa";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { startBuildkitd } from "../support/buildkit.ts";
import { startRegistry } from "../support/registry.ts";
import { type Run, type StartedRun, startResource, versionOf } from "../support/resource.ts";
import { shell } from "../support/site.ts";

/** A secret that nothing else would hold; with what shells, formats and quoting stumble over. */
const canary = (kind: string) => `canary-${kind}-${crypto.randomUUID()}`;

interface Canary {
  readonly kind: string;
  readonly text: string;
}

/** As it is, in base64 at any of the three alignments, and as in a URL. */
function forms(text: string): string[] {
  const base64 = [0, 1, 2].map((shift) => {
    const encoded = Buffer.concat([Buffer.alloc(shift), Buffer.from(text)]).toString("base64");
    return encoded.slice(shift === 0 ? 0 : 4, -4);
  });
  return [text, encodeURIComponent(text), ...base64].filter((form) => form.length >= 16);
}

function assertHoldsNone(where: string, content: string, canaries: readonly Canary[]): void {
  for (const { kind, text } of canaries) {
    for (const form of forms(text)) assert.ok(!content.includes(form), `${kind} is in ${where}`);
  }
}

async function allFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** Every file below a folder, and what is in it when it is compressed. */
async function assertFilesHoldNone(folder: string, canaries: readonly Canary[]): Promise<void> {
  for (const file of await allFiles(folder)) {
    const bytes = await readFile(file);
    assertHoldsNone(file, bytes.toString("latin1"), canaries);
    if (bytes[0] === 0x1f && bytes[1] === 0x8b)
      assertHoldsNone(`${file}, unpacked`, gunzipSync(bytes).toString("latin1"), canaries);
  }
}

/** Looks at the arguments and variables of every process that carries the mark, for as long as a run takes. */
async function watchProcesses(started: StartedRun, mark: string): Promise<{ run: Run; seen: string }> {
  const seen = new Set<string>();
  const ended = new AbortController();
  const watching = (async () => {
    while (!ended.signal.aborted) {
      for (const pid of await readdir("/proc")) {
        if (!/^\d+$/.test(pid)) continue;
        const [environ = "", command = ""] = await Promise.all(
          ["environ", "cmdline"].map((name) => readFile(`/proc/${pid}/${name}`, "latin1").catch(() => "")),
        );
        if (environ.includes(mark)) seen.add(command).add(environ);
      }
      await nextTurn();
    }
  })();
  const run = await started.result;
  ended.abort();
  await watching;
  assert.ok(seen.size >= 2, "no process was seen");
  return { run, seen: [...seen].join("\n") };
}

const dockerfile = `${shell}
RUN --mount=type=secret,id=text --mount=type=secret,id=file --mount=type=secret,id=variable \\
    [ -s /run/secrets/text ] && [ -s /run/secrets/file ] && [ -s /run/secrets/variable ] && echo used > /result
`;

for (const outcome of ["success", "failure", "abort"] as const) {
  test(`no secret is found anywhere after ${outcome}`, async () => {
    await using folder = await createPrivateFolder("test-secrets");
    const password = canary("password");
    await using registry = await startRegistry({ htpasswd: { user: password } });
    await using daemon = await startBuildkitd();
    const text = `${canary("text")}\n%s "quoted" 'single'\n${canary("text-end")}`;
    const file = canary("file");
    const variable = canary("variable");
    const token = canary("token");
    const key = await sshKey(folder.path);
    const canaries: Canary[] = [
      { kind: "the registry's password", text: password },
      { kind: "the secret text", text: text.slice(0, 40) },
      { kind: "the secret file", text: file },
      { kind: "another registry's password", text: token },
      { kind: "the ssh key", text: key.split("\n")[2] ?? "" },
    ];
    const inputs = join(folder.path, "inputs");
    await mkdir(join(inputs, "app"), { recursive: true });
    await mkdir(join(inputs, "keys"));
    await writeFile(join(inputs, "keys/secret"), file);
    await copyFile("/bin/busybox", join(inputs, "app/busybox"));
    const steps = { success: "", failure: "RUN exit 7\n", abort: "RUN echo running; sleep 600\n" };
    const mark = `SECRETS_MARK_${crypto.randomUUID().replaceAll("-", "")}`;
    const source = {
      repository: `${registry.host}/team/app`,
      insecure: true,
      username: "user",
      password,
      registries: { "other.example": { username: "someone", password: token } },
      cache: true,
      buildkit: { address: daemon.address },
    };
    const temporary = join(folder.path, "temporary");
    await mkdir(temporary);
    const started = await startResource("out", {
      args: [inputs],
      stdin: {
        source,
        params: {
          context: "app",
          dockerfile_inline: dockerfile + steps[outcome],
          secrets: { text: { text }, file: { file: "keys/secret" }, variable: { env: "HIDDEN" } },
          ssh: { default: { key } },
          provenance: "max",
          tags: ["latest"],
        },
      },
      // The variable is what the operator put there: it is in the environment, and nowhere else.
      env: { NO_COLOR: "1", HIDDEN: variable, [mark]: "1" },
    });
    const watched = watchProcesses(started, mark);
    if (outcome === "abort") {
      await started.wrote(/\] running/);
      started.kill("SIGTERM");
    }
    const { run, seen } = await watched;
    assert.equal(run.status === 0, outcome === "success", run.output);
    assert.match(seen, /^buildctl\0.*\0build\0/m);
    assertHoldsNone("arguments and variables", seen, canaries);
    const all = [...canaries, { kind: "the secret variable", text: variable }];
    assertHoldsNone("stdout and stderr", run.output, all);
    assertHoldsNone("the daemon's log", daemon.log(), all);
    assertHoldsNone("the registry's log", registry.log(), all);
    assert.deepEqual(run.leftovers, []);
    await assertFilesHoldNone(registry.folder, all);
    if (outcome !== "success") return;
    const to = join(folder.path, "got");
    const got = await startResource("in", {
      args: [to],
      stdin: { source, version: versionOf(run).version, params: { unpack_rootfs: true } },
      env: { [mark]: "1" },
    });
    const { run: get, seen: seenByGet } = await watchProcesses(got, mark);
    versionOf(get);
    assertHoldsNone("arguments and variables of the get", seenByGet, canaries);
    assertHoldsNone("stdout and stderr of the get", get.output, all);
    await assertFilesHoldNone(to, all);
  });
}

async function sshKey(folder: string): Promise<string> {
  const path = join(folder, "key");
  await execa("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", path]);
  return readFile(path, "utf8");
}

test("a build arg whose name looks like a secret's is warned of, with what to use instead", async () => {
  await using daemon = await startBuildkitd();
  await using folder = await createPrivateFolder("test-secrets");
  await mkdir(join(folder.path, "inputs/app"), { recursive: true });
  const put = async (buildArgs: Readonly<Record<string, string>>) => {
    const started = await startResource("out", {
      args: [join(folder.path, "inputs")],
      stdin: {
        source: { directory: join(folder.path, "builds"), buildkit: { address: daemon.address } },
        params: { context: "app", dockerfile_inline: "FROM scratch\nLABEL a=b\n", build_args: buildArgs },
      },
      env: { NO_COLOR: "1" },
    });
    return started.result;
  };
  const run = await put({ NPM_TOKEN: "hidden-value", VERSION: "1" });
  versionOf(run);
  assert.match(run.stderr, /warning: build arg NPM_TOKEN .*history.*secrets: \{npm_token: \{text: …\}\}/);
  assert.doesNotMatch(run.stderr, /hidden-value/);
  assert.doesNotMatch(
    (await put({ TOKENIZER: "x", KEYBOARD: "y", COMMIT: "z" })).stderr,
    /warning: build arg/,
  );
});
