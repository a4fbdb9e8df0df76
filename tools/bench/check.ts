import { join } from "node:path";
import { execa } from "execa";
import { checkout } from "../../test/support/host.ts";
import { compare, type Result } from "./measure.ts";

/** Start-up: a check from the checkout and one from the bundle, against Node doing nothing at all. */
export async function benchCheck(rounds: number): Promise<Result> {
  await execa("node", [join(checkout, "tools/build.ts")]);
  const input = JSON.stringify({ source: { repository: "registry.example/app" }, version: null });
  const bundle = join(checkout, "dist/main.mjs");
  const env = { NODE_COMPILE_CACHE: join(checkout, ".tools/compile-cache") };
  return compare("check", rounds, [
    {
      name: "check, bundled",
      run: async () => {
        await execa("node", [bundle, "check"], { input, env });
      },
    },
    {
      name: "check, checkout",
      run: async () => {
        await execa(join(checkout, "assets/check"), { input });
      },
    },
    {
      name: "node -e 0",
      run: async () => {
        await execa("node", ["-e", "0"], { input });
      },
    },
  ]);
}
