import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";

/** An archive of Go's own tests. */
export interface Fixture {
  readonly name: string;
  readonly archive: Buffer;
}

/** Reads the archives that each installation of Go has in `src/archive/tar/testdata`, decoded. */
export async function readGoFixtures(): Promise<Fixture[]> {
  const { stdout: root } = await execa("go", ["env", "GOROOT"]);
  const folder = join(root, "src/archive/tar/testdata");
  const names = (await readdir(folder)).filter((name) => /\.tar(\.|$)/.test(name));
  return Promise.all(
    names.toSorted().map(async (name) => ({ name, archive: await decode(join(folder, name)) })),
  );
}

async function decode(file: string): Promise<Buffer> {
  if (file.endsWith(".bz2")) {
    const { stdout } = await execa("bzip2", ["-dc", file], { encoding: "buffer" });
    return Buffer.from(stdout);
  }
  const bytes = await readFile(file);
  return file.endsWith(".base64") ? Buffer.from(bytes.toString("latin1"), "base64") : bytes;
}
