import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { makeSite } from "../support/runs/put-and-get.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";

test("bare buildctl exports a tar archive from a daemon that tells what it knows of layers", async () => {
  await using daemon = await startBuildkitd();
  await using site = await makeSite("FROM scratch\nCOPY busybox /bin/sh\n");
  const app = join(site.inputs, "app");
  const archive = join(site.folder, "image.tar");
  const locals = ["--local", `context=${app}`, "--local", `dockerfile=${app}`];
  const output = `type=oci,dest=${archive}`;
  await execa("buildctl", [
    "--addr",
    daemon.address,
    "build",
    "--frontend=dockerfile.v0",
    ...locals,
    "--output",
    output,
  ]);
  const { stdout } = await execa("tar", ["-tf", archive]);
  assert.match(stdout, /^index\.json$/m);
});
