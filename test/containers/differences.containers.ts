import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type Container, startContainer } from "../support/containers/container.ts";
import { putIn } from "../support/containers/puts.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { busyboxLayer, type Entry, pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { buildingKinds, limitsOfRun, named, optionLines, runOptions, trials } from "./matrix.ts";

/** A program of i386 that only ends, with status 0. */
function program32(): Buffer {
  const start = 0x08048000;
  const header = 84;
  // xor %ebx,%ebx; xor %eax,%eax; inc %eax; int $0x80: exit(0)
  const code = Buffer.from("31db31c040cd80", "hex");
  const file = Buffer.alloc(header);
  file.write("\x7fELF\x01\x01\x01", 0, "latin1");
  // Elf32_Ehdr from e_type on: an executable for i386, and one program header behind this header.
  for (const [offset, value] of [
    [16, 2],
    [18, 3],
    [40, 52],
    [42, 32],
    [44, 1],
  ] as const)
    file.writeUInt16LE(value, offset);
  const size = header + code.length;
  const words = { 20: 1, 24: start + header, 28: 52, 52: 1, 60: start, 64: start, 68: size, 72: size, 76: 5 };
  for (const [offset, value] of Object.entries(words)) file.writeUInt32LE(value, Number(offset));
  return Buffer.concat([file, code]);
}

const [hub] = await untilTestsEnd(startDockerHub());
before(async () => {
  await using folder = await createPrivateFolder("test-base");
  const own: Entry[] = [
    { name: "null", type: "character-device", devmajor: 1, devminor: 3, mode: 0o666 },
    { name: "program32", mode: 0o755, content: program32() },
  ];
  const layout = await writeLayout(folder.path, { layers: [await busyboxLayer(), own] });
  await pushLayout(layout.folder, `${hub.host}/library/base:latest`);
});

async function writeDockerfile(container: Container, lines: readonly string[]): Promise<void> {
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), ["FROM base", "ENV PATH=/bin", ...lines, ""].join("\n"));
  await container.own(container.build);
}

for (const [kind, launch] of buildingKinds) {
  test(`in a container of the kind ${kind}, what a RUN can do is what the docs say`, async () => {
    await using container = await startContainer(kind, { ports: [Number(new URL(hub.url).port)] });
    const source = { directory: "/tmp/builds", registry_mirrors: [hub.url] };
    const names = Object.keys(trials);
    const lines = Object.values(trials).map(
      ({ flags = "", command }, index) =>
        `RUN ${flags} if ${command}; then echo "trial ${index} works"; else echo "trial ${index} fails"; fi`,
    );
    await writeDockerfile(container, lines);
    const put = await putIn(container, source, {
      allow: ["network.host", "security.insecure"],
      shm_size: "10m",
      ulimits: { nofile: "1000:2000" },
      add_hosts: { added: "127.0.0.9" },
    });
    assert.equal(put.exitCode, 0, put.stderr);
    const found = [...put.stderr.matchAll(/\] trial (\d+) works$/gm)].map(
      ([, index]) => names[Number(index)] ?? "",
    );
    const expected = names.filter((name) => trials[name]?.works.includes(launch));
    assert.deepEqual(found.toSorted(), expected.toSorted(), put.stderr);

    await writeDockerfile(container, optionLines);
    const limited = await putIn(container, source, { options: runOptions });
    const keeping = limitsOfRun[kind];
    assert.equal(limited.exitCode, keeping === "refused" ? 1 : 0, limited.stderr);
    assert.equal(/\] 67108864$/m.test(limited.stderr), keeping === "kept", limited.stderr);
    assert.equal(
      /^warning: options\.memory: it has no effect/m.test(limited.stderr),
      keeping === "warned of",
    );
    assert.equal(/control groups can't limit a RUN/.test(limited.stderr), keeping === "refused");
    if (keeping !== "refused")
      assert.notEqual(
        /\] given$/m.test(limited.stderr),
        /^warning: options\.hostname: it has no effect/m.test(limited.stderr),
        limited.stderr,
      );

    for (const { line, works, told } of named) {
      await writeDockerfile(container, [line]);
      const alone = await putIn(container, source);
      if (works.includes(launch)) assert.equal(alone.exitCode, 0, alone.stderr);
      else {
        assert.equal(alone.exitCode, 1, alone.stderr);
        assert.match(alone.stderr, told);
      }
    }
  });
}
