import { execa } from "execa";
import { toolEnvironment } from "../runs/test-step.ts";

/** What zstd makes of a stream, whose length it doesn't know, with a window of 2^bits bytes: Go's reader takes 29 at most. */
export async function wideZstd(bytes: Uint8Array, bits: number): Promise<Buffer> {
  const options = { input: bytes, encoding: "buffer", env: toolEnvironment() } as const;
  const { stdout } = await execa("zstd", ["-q", `--long=${bits}`], options);
  return Buffer.from(stdout);
}
