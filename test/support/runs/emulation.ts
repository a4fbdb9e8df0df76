import { access, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";

/** The start of an ELF program for arm64, and which of its bits count (QEMU, scripts/qemu-binfmt-conf.sh). */
const arm64 = {
  magic: String.raw`\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00`,
  mask: String.raw`\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff`,
};

/**
 * Has the kernel run arm64 programs by qemu-aarch64-static, in containers too, until it is disposed of
 * (binfmt_misc; flag F: the interpreter is opened now, so no root needs to hold it).
 */
export async function emulateArm64(): Promise<AsyncDisposable> {
  await using held = new AsyncDisposableStack();
  const folder = held.use(await createPrivateFolder("test-binfmt"));
  const mounted = join(folder.path, "binfmt_misc");
  await mkdir(mounted);
  await execa("mount", ["-t", "binfmt_misc", "binfmt_misc", mounted]);
  held.defer(async () => {
    await execa("umount", [mounted]);
  });
  const name = `test-arm64-${crypto.randomUUID()}`;
  const { stdout: qemu } = await execa("which", ["qemu-aarch64-static"]);
  await writeFile(join(mounted, "register"), `:${name}:M::${arm64.magic}:${arm64.mask}:${qemu}:F`);
  held.defer(() => writeFile(join(mounted, name), "-1"));
  const owned = held.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A static program for arm64 that writes its architecture to the file that it is given. */
export async function buildArm64Program(): Promise<Buffer> {
  await using folder = await createPrivateFolder("test-arm64");
  const program = `package main

import (
	"os"
	"runtime"
)

func main() {
	if os.WriteFile(os.Args[1], []byte(runtime.GOARCH), 0o644) != nil {
		os.Exit(1)
	}
}
`;
  await writeFile(join(folder.path, "main.go"), program);
  const file = join(folder.path, "program");
  const env = { GOARCH: "arm64", GOOS: "linux", CGO_ENABLED: "0", GOTOOLCHAIN: "local" };
  await execa("go", ["build", "-o", file, "main.go"], { cwd: folder.path, env });
  await access(file);
  return readFile(file);
}
