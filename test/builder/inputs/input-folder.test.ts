import assert from "node:assert/strict";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { resolveInput } from "../../../src/builder/inputs/input-folder.ts";

async function inputs(): Promise<AsyncDisposable & { path: string }> {
  const path = await realpath(await mkdtemp(join(tmpdir(), "inputs-")));
  await mkdir(join(path, "repo/src"), { recursive: true });
  await writeFile(join(path, "repo/Dockerfile"), "FROM scratch\n");
  await symlink("Dockerfile", join(path, "repo/link"));
  await symlink("/etc/passwd", join(path, "repo/out"));
  await symlink("../..", join(path, "repo/up"));
  await symlink("loop", join(path, "repo/loop"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

test("a path among the inputs is found, through symlinks that stay inside", async () => {
  await using folder = await inputs();
  const put = { path: folder.path, kind: "put" } as const;
  assert.equal(await resolveInput(put, "repo/src", "context", "folder"), join(folder.path, "repo/src"));
  assert.equal(
    await resolveInput(put, "./repo//link", "dockerfile", "file"),
    join(folder.path, "repo/Dockerfile"),
  );
  assert.equal(await resolveInput(put, ".", "context", "folder"), folder.path);
});

test("a first part that isn't an input is answered with the inputs: line to add", async () => {
  await using folder = await inputs();
  await assert.rejects(resolveInput({ path: folder.path, kind: "put" }, "app/src", "context", "folder"), {
    name: "UserError",
    message:
      'context: artifact "app" is not among the put\'s inputs (there are: repo): add "inputs: [app]" to the put step, or correct the path "app/src"',
  });
});

test("a path missing further down is answered with what there is", async () => {
  await using folder = await inputs();
  await assert.rejects(
    resolveInput({ path: folder.path, kind: "put" }, "repo/docker/x", "dockerfile", "file"),
    {
      name: "UserError",
      message:
        'dockerfile: there is no file "repo/docker/x"; "repo" holds: Dockerfile, link, loop, out, src, up',
    },
  );
});

test("nothing outside the put's folder can be named, neither by .. nor absolutely nor through a symlink", async () => {
  await using folder = await inputs();
  const put = { path: folder.path, kind: "put" } as const;
  for (const path of ["../x", "repo/../../x", "/etc/passwd", "/"]) {
    await assert.rejects(resolveInput(put, path, "context", "file"), {
      name: "UserError",
      message: /leads out of the put's folder/,
    });
  }
  for (const path of ["repo/out", "repo/up", "repo/up/etc"]) {
    await assert.rejects(resolveInput(put, path, "context", "file"), { name: "UserError" }, path);
  }
  await assert.rejects(resolveInput(put, "repo/out", "context", "file"), {
    message: /symlink that leads out/,
  });
  await assert.rejects(resolveInput(put, "repo/loop", "context", "file"), {
    message: /symlink that leads back to itself/,
  });
  await assert.rejects(resolveInput(put, "repo\0", "context", "file"), { message: /is not a path/ });
});

test("a task may name absolute paths, since its inputs can be mounted anywhere", async () => {
  await using folder = await inputs();
  await using other = await inputs();
  const file = join(other.path, "repo/Dockerfile");
  assert.equal(await resolveInput({ path: folder.path, kind: "task" }, file, "secrets.ca", "file"), file);
});

test("a file where a folder is expected is refused, and the other way round", async () => {
  await using folder = await inputs();
  const put = { path: folder.path, kind: "put" } as const;
  await assert.rejects(resolveInput(put, "repo/Dockerfile", "context", "folder"), {
    message: 'context: "repo/Dockerfile" is a file; expected a folder',
  });
  await assert.rejects(resolveInput(put, "repo", "dockerfile", "file"), {
    message: 'dockerfile: "repo" is a folder; expected a file',
  });
});
