import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { createPrivateFolder } from "../src/host/private-folder.ts";
import { checkout, toolEnvironment } from "./support/runs/test-step.ts";

const module = "github.com/opencontainers/runc";
const version = "v1.5.2";
const edited = "libcontainer/process_linux.go";

/** Runs the editor on a module that asks for runc, whose file to edit has the text given. */
async function edit(folder: string, text: string) {
  const source = join(folder, "source");
  const proxy = join(folder, "proxy", module, "@v");
  const asking = join(folder, "asking");
  const mod = `module ${module}\n\ngo 1.21\n`;
  for (const [path, content] of Object.entries({
    [join(source, "go.mod")]: mod,
    [join(source, edited)]: text,
    [join(proxy, `${version}.mod`)]: mod,
    [join(proxy, `${version}.info`)]: JSON.stringify({ Version: version }),
    [join(asking, "go.mod")]: `module example.org/asking\n\ngo 1.21\n\nrequire ${module} ${version}\n`,
    [join(asking, "go.sum")]: "",
  })) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
  // A module's zip is what git makes of a tag, under the module's name and version.
  const git = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
  await execa("git", ["init", "-q"], { cwd: source });
  await execa("git", ["add", "-A"], { cwd: source });
  await execa("git", [...git, "commit", "-qm", "source"], { cwd: source });
  const zip = [
    "archive",
    "--format=zip",
    `--prefix=${module}@${version}/`,
    "-o",
    join(proxy, `${version}.zip`),
  ];
  await execa("git", [...zip, "HEAD"], { cwd: source });
  const program = join(folder, "edit");
  await execa("go", ["build", "-C", join(checkout, "tools"), "-o", program, "./edit"], {
    env: toolEnvironment(),
  });
  const env = {
    GOPROXY: `file://${join(folder, "proxy")}`,
    GOMODCACHE: join(folder, "cache"),
    GOFLAGS: "-modcacherw",
    GONOSUMDB: "*",
    GONOSUMCHECK: "1",
    GOSUMDB: "off",
  };
  return execa(program, [asking, join(folder, "edited")], { env: toolEnvironment(env), reject: false });
}

const asExpected = `package libcontainer

		if err != nil {
			return fmt.Errorf("error spawning mount remapping thread: %w", err)
		}
		defer cancel()
		mountRequest = request
`;

test("source to build from is edited in a copy, which the written go.mod takes instead", async () => {
  await using folder = await createPrivateFolder("test-edit");
  const { exitCode, stderr } = await edit(folder.path, asExpected);
  assert.equal(exitCode, 0, stderr);
  const copy = join(folder.path, "edited", module);
  assert.match(await readFile(join(copy, edited), "utf8"), /errors\.Is\(err, unix\.EPERM\)/);
  const written = await readFile(join(folder.path, "edited/go.mod"), "utf8");
  assert.ok(written.includes(`replace ${module} => ./../edited/${module}`), written);
});

for (const [what, text] of [
  ["changed", asExpected.replace("mountRequest", "mountRequests")],
  ["come twice", asExpected + asExpected],
] as const) {
  test(`source whose place to edit has ${what} is refused, with the file and the text`, async () => {
    await using folder = await createPrivateFolder("test-edit");
    const { exitCode, stderr } = await edit(folder.path, text);
    assert.equal(exitCode, 1, stderr);
    assert.match(
      stderr,
      /libcontainer\/process_linux\.go holds [02] times, instead of once: .*mount remapping/,
    );
    await assert.rejects(readFile(join(folder.path, "edited/go.mod")), { code: "ENOENT" });
  });
}

for (const name of ["buildctl", "buildkitd", "runc"]) {
  test(`${name} fills in no templates, for which it would keep methods that nothing calls`, async () => {
    const { stdout } = await execa("which", [name], { env: toolEnvironment() });
    const program = await readFile(stdout);
    // Go keeps the names of functions in every program.
    assert.ok(program.includes("main.main"));
    assert.equal(program.includes("text/template.(*state).evalField"), false);
  });
}
