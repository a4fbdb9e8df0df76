import { join } from "node:path";
import { checkout } from "../../test/support/runs/test-step.ts";
import type { Bundle } from "./bundle.ts";
import { compare, type Result, timed } from "./measure.ts";

/** Start-up: a check from the bundle and one from the checkout, against Node doing nothing at all. */
export function benchCheck({ check }: Bundle, rounds: number): Promise<Result> {
  const input = JSON.stringify({ source: { repository: "registry.example/app" }, version: null });
  return compare("check", rounds, [
    { name: "check, bundled", run: () => timed(check, [], { input }) },
    { name: "check, checkout", run: () => timed(join(checkout, "assets/check"), [], { input }) },
    { name: "node -e 0", run: () => timed("node", ["-e", "0"], { input }) },
  ]);
}
