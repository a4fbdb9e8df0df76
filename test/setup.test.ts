import assert from "node:assert/strict";
import { appendFile, chmod, copyFile, cp, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../src/host/private-folder.ts";
import { checkout, toolEnvironment } from "./support/runs/test-step.ts";

const inherited = toolEnvironment();

interface Clone {
  readonly folder: string;
  readonly bin: string;
}

/** A fresh clone as far as the set-up reads it, open to every user; `dependencies` are those of this checkout. */
async function makeClone(parent: string, { dependencies }: { dependencies: boolean }): Promise<Clone> {
  const folder = join(parent, "clone");
  await mkdir(join(folder, "tools"), { recursive: true });
  for (const name of ["package.json", "package-lock.json", ".npmrc"]) {
    await copyFile(join(checkout, name), join(folder, name));
  }
  for (const name of ["setup.sh", "build-tools.sh", "go.mod", "go.sum", "edit", "runsc"]) {
    await cp(join(checkout, "tools", name), join(folder, "tools", name), { recursive: true });
  }
  if (dependencies) await symlink(join(checkout, "node_modules"), join(folder, "node_modules"));
  await chmod(parent, 0o755);
  return { folder, bin: join(parent, "bin") };
}

/** Fills a folder with links to every program on PATH except the named, so that a search finds all but those. */
async function hidePrograms(bin: string, hidden: readonly string[]): Promise<void> {
  await mkdir(bin);
  const seen = new Set<string>(hidden);
  for (const folder of (inherited["PATH"] ?? "").split(delimiter)) {
    for (const name of await readdir(folder).catch(() => [])) {
      if (seen.has(name)) continue;
      seen.add(name);
      await symlink(join(folder, name), join(bin, name));
    }
  }
}

const ours = ["buildctl", "buildkitd", "runc", "runsc", "regctl", "registry", "crane"];

interface Setup {
  readonly folder: string;
  /** What starts the shell: another user, fewer capabilities, no network. */
  readonly through?: readonly string[];
  readonly command?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

async function runSetup({ folder, through = [], command = [], env = {} }: Setup) {
  const [file = "sh", ...args] = [...through, "sh", join(folder, "tools/setup.sh"), ...command];
  const { exitCode, stdout, stderr } = await execa(file, args, {
    cwd: "/",
    env: { ...inherited, ...env },
    extendEnv: false,
    reject: false,
    stdin: "ignore",
  });
  return { status: exitCode, stdout, stderr };
}

/** The one sentence that a failed set-up ends with; before it come only the steps it was at. */
function lastSentence({ status, stdout, stderr }: Awaited<ReturnType<typeof runSetup>>): string {
  assert.equal(status, 1, stderr);
  assert.equal(stdout, "");
  const lines = stderr.split("\n");
  assert.ok(
    lines.slice(0, -1).every((line) => /^setup: .*( \.\.\.|: done|: \d+ s .*)$/.test(line)),
    stderr,
  );
  return lines.at(-1) ?? "";
}

test("a set-up that finds everything says nothing, does nothing and runs its command", async () => {
  const run = await runSetup({ folder: checkout, command: ["node", "-p", "process.versions.node"] });
  assert.equal(run.status, 0, run.stderr);
  assert.equal(run.stderr, "");
  assert.ok(Number.parseInt(run.stdout, 10) >= 24, run.stdout);
});

test("the command of a set-up finds the tools, and its exit status is the set-up's", async () => {
  const search = "command -v buildctl && command -v buildkitd && command -v regctl && exit 7";
  const run = await runSetup({ folder: checkout, command: ["sh", "-c", search] });
  assert.equal(run.status, 7, run.stderr);
  assert.equal(run.stdout.split("\n").length, 3);
});

test("without root the set-up says that building needs it", async () => {
  await using temporary = await createPrivateFolder("test-setup");
  const { folder } = await makeClone(temporary.path, { dependencies: true });
  const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
  assert.match(
    lastSentence(await runSetup({ folder, through: nobody })),
    /needs root: run this again as root/,
  );
});

test("root that may not mount is told which capability is missing", async () => {
  const limited = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", "--"];
  const said = lastSentence(await runSetup({ folder: checkout, through: limited }));
  assert.match(said, /doesn't let root mount filesystems.*CAP_SYS_ADMIN/);
});

test("without Go the set-up says what to install", async () => {
  await using temporary = await createPrivateFolder("test-setup");
  const { folder, bin } = await makeClone(temporary.path, { dependencies: true });
  await hidePrograms(bin, [...ours, "go"]);
  const said = lastSentence(await runSetup({ folder, env: { PATH: bin } }));
  assert.match(said, /^setup: there is no Go on PATH to build buildctl .*: install Go .* and run again$/);
});

test("a Go that can't fetch newer toolchains is named with the version needed", async () => {
  await using temporary = await createPrivateFolder("test-setup");
  const { folder, bin } = await makeClone(temporary.path, { dependencies: true });
  await hidePrograms(bin, [...ours, "go"]);
  await writeFile(join(bin, "go"), "#!/bin/sh\necho go version go1.19.8 linux/amd64\n", { mode: 0o755 });
  const said = lastSentence(await runSetup({ folder, env: { PATH: bin } }));
  assert.match(said, /^setup: Go 1\.19\.8 is too old to build buildctl .*: install Go 1\.21\.0 or newer/);
});

test("without a network npm's failure is one sentence with the cause", async () => {
  await using temporary = await createPrivateFolder("test-setup");
  const { folder } = await makeClone(temporary.path, { dependencies: false });
  const env = { npm_config_cache: join(temporary.path, "npm") };
  const said = lastSentence(await runSetup({ folder, through: ["unshare", "--net", "--"], env }));
  assert.match(said, /^setup: npm ci failed \(".*(ENOTFOUND|EAI_AGAIN|ENETUNREACH|ECONNREFUSED).*"\): check/);
});

test("without a network apt's failure is one sentence with the cause", async () => {
  await using temporary = await createPrivateFolder("test-setup");
  const { folder, bin } = await makeClone(temporary.path, { dependencies: true });
  await hidePrograms(bin, ["skopeo"]);
  // The machine's own package lists stay as they are.
  const lists = join(temporary.path, "lists");
  await mkdir(lists);
  const config = join(temporary.path, "apt.conf");
  await writeFile(
    config,
    `Dir::State::Lists "${lists}"; Dir::Cache "${temporary.path}"; APT::Sandbox::User "root";`,
  );
  const env = { PATH: bin, APT_CONFIG: config };
  const said = lastSentence(await runSetup({ folder, through: ["unshare", "--net", "--"], env }));
  assert.match(said, /^setup: apt-get could not bring skopeo \("[EW]: .+"\): check .* Debian mirror/);
});

test("without a network Go's failure is one sentence with the cause", async () => {
  await using temporary = await createPrivateFolder("test-setup");
  const { folder, bin } = await makeClone(temporary.path, { dependencies: true });
  await hidePrograms(bin, ours);
  const env = { PATH: bin, GOMODCACHE: join(temporary.path, "modules") };
  const said = lastSentence(await runSetup({ folder, through: ["unshare", "--net", "--"], env }));
  assert.match(said, /^setup: go could not build buildctl .*\(".*dial tcp.*"\): check .* Go module proxy/);
});

test("two set-ups at once build the tools once, and both then run their commands", async () => {
  await using temporary = await createPrivateFolder("test-setup");
  const { folder, bin } = await makeClone(temporary.path, { dependencies: true });
  await hidePrograms(bin, ours);
  const run = () => runSetup({ folder, env: { PATH: bin }, command: ["buildkitd", "--version"] });
  const runs = await Promise.all([run(), run()]);
  for (const { status, stdout, stderr } of runs) {
    assert.equal(status, 0, stderr);
    assert.match(stdout, /moby\/buildkit v\d/);
  }
  const said = runs.map(({ stderr }) => stderr).join("\n");
  assert.equal(said.match(/^setup: building .*: done$/gm)?.length, 1, said);
  assert.match(said, /another set-up is at work/);
  assert.deepEqual((await readdir(join(folder, ".tools/bin"))).toSorted(), ours.toSorted());

  // What is built from edited source is built anew when the way of building it changes.
  await appendFile(join(folder, "tools/build-tools.sh"), "# Other flags.\n");
  await rm(join(bin, "go"));
  const rebuilding = lastSentence(await runSetup({ folder, env: { PATH: bin } }));
  assert.match(rebuilding, /^setup: there is no Go on PATH to build buildctl buildkitd runc runsc with/);
});
