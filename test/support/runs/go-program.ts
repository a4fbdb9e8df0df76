import { createHash } from "node:crypto";
import { access, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { withLock } from "./lock.ts";
import { checkout } from "./test-step.ts";

export interface GoProgram {
  readonly name: string;
  /** The path of its one source file. */
  readonly source: string;
  /** Whether it imports modules that tools/go.mod pins; else Go's own packages alone. */
  readonly withModules?: boolean;
}

/** Builds a program, once for each version of its source, of Go and of the modules. Answers its path, beside the tools. */
export async function buildGoProgram({ name, source, withModules = false }: GoProgram): Promise<string> {
  const { stdout: version } = await execa("go", ["version"]);
  const recipe = createHash("sha256")
    .update(version)
    .update(await readFile(source));
  if (withModules) recipe.update(await readFile(join(checkout, "tools/go.mod")));
  const cache = join(checkout, ".tools/cache");
  const program = join(cache, `${name}-${recipe.digest("hex").slice(0, 16)}`);
  await mkdir(cache, { recursive: true });
  await withLock(join(cache, `${name}.lock`), async () => {
    const isBuilt = await access(program).then(
      () => true,
      () => false,
    );
    if (isBuilt) return;
    const modules = withModules ? {} : { GO111MODULE: "off" };
    const env = { GOWORK: "off", CGO_ENABLED: "0", GOFLAGS: "", ...modules };
    const cwd = join(checkout, "tools");
    await execa("go", ["build", "-o", `${program}.new`, source], { env, cwd });
    await rename(`${program}.new`, program);
  });
  return program;
}
