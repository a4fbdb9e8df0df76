import { join } from "node:path";
import { execa } from "execa";
import { checkout } from "../../test/support/runs/test-step.ts";

/** The program as the resource's image has it: the arguments of `node` that run it, and its environment. */
export interface Bundle {
  readonly main: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Bundles what the checkout holds now. */
export async function makeBundle(): Promise<Bundle> {
  await execa("node", [join(checkout, "tools/build.ts")]);
  return {
    main: join(checkout, "dist/main.mjs"),
    env: {
      NODE_COMPILE_CACHE: join(checkout, ".tools/compile-cache"),
      NODE_OPTIONS: "--max-semi-space-size=1", // As assets/launch.sh.
    },
  };
}
