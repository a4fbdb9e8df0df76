import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { type Container, startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { putIn } from "../support/containers/puts.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { busyboxLayer, type Entry, pushLayout, writeLayout } from "../support/images/image-writer.ts";
import type { Registry } from "../support/servers/registry.ts";

/** How BuildKit runs, in a container of each kind in which it runs so. */
const kinds = {
  full: "with privileges",
  guardian: "with privileges",
  "fuse-only": "in a user namespace",
  "fuse-only-released": "in a user namespace",
  "operator-profile": "in a user namespace",
  unprivileged: "in gVisor",
} as const satisfies Partial<Record<ContainerKind, string>>;
type Launch = (typeof kinds)[keyof typeof kinds];

interface Trial {
  /** Flags of RUN. */
  readonly flags?: string;
  readonly command: string;
  readonly works: readonly Launch[];
}

const everywhere: readonly Launch[] = ["with privileges", "in a user namespace", "in gVisor"];

/** The table of docs/without-privileges.md, and what it says is the same everywhere. */
const trials: Readonly<Record<string, Trial>> = {
  "making a device": { command: "mknod /new c 1 3 && echo > /new", works: ["with privileges", "in gVisor"] },
  "a device of the base": { command: "test -c /null && echo > /null", works: ["with privileges"] },
  "a 32-bit program": { command: "/program32", works: ["with privileges", "in a user namespace"] },
  "the user 4294967294": {
    command: "touch /theirs && chown 4294967294 /theirs",
    works: ["with privileges", "in gVisor"],
  },
  "the worker's kernel": {
    command: "! uname -r | grep gvisor",
    works: ["with privileges", "in a user namespace"],
  },
  "raw sockets": { command: "ping -c 1 127.0.0.1", works: ["with privileges", "in gVisor"] },
  "a port below 1024": {
    command: "httpd -p 127.0.0.1:80",
    works: ["with privileges", "in gVisor"],
  },
  "the params' shm_size": { command: "df -k /dev/shm | grep ' 10240 '", works: everywhere },
  "the params' ulimits": { command: "[ $(ulimit -n) = 1000 ]", works: everywhere },
  "the params' add_hosts": { command: "grep '^127.0.0.9.added' /etc/hosts", works: everywhere },
  "all capabilities": {
    flags: "--security=insecure",
    command: "mount -t tmpfs tmpfs /tmp",
    works: everywhere,
  },
  "rights on the worker": {
    flags: "--security=insecure",
    // A setting of the worker's kernel, written as it is.
    command: "cp /proc/sys/kernel/core_uses_pid /value && cat /value > /proc/sys/kernel/core_uses_pid",
    works: ["with privileges"],
  },
  "the step's network": { flags: "--network=host", command: "true", works: everywhere },
};

/** What makes a step fail is named, before the build or behind the step's own words. */
const named: readonly { readonly line: string; readonly works: readonly Launch[]; readonly told: RegExp }[] =
  [
    {
      line: "RUN --network=none ! grep -v lo: /proc/net/dev | grep :",
      works: ["with privileges", "in a user namespace"],
      told: /warning: the Dockerfile's RUN --network=none fails here[\s\S]*a RUN can't have a network of its own here/,
    },
    {
      line: 'RUN ["/program32"]',
      works: ["with privileges", "in a user namespace"],
      told: /in a gVisor sandbox, 32-bit programs and those of other architectures don't run here/,
    },
    {
      line: "RUN ping -c 1 127.0.0.1",
      works: ["with privileges", "in gVisor"],
      told: /in a user namespace, raw sockets \(as of ping\) and ports below 1024 can't be opened here/,
    },
    {
      line: "RUN mknod /new c 1 3",
      works: ["with privileges", "in gVisor"],
      told: /in a user namespace, no device node can be made here/,
    },
  ];

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

let hub: Registry;
before(async () => {
  hub = await startDockerHub();
  await using folder = await createPrivateFolder("test-base");
  const own: Entry[] = [
    { name: "null", type: "character-device", devmajor: 1, devminor: 3, mode: 0o666 },
    { name: "program32", mode: 0o755, content: program32() },
  ];
  const layout = await writeLayout(folder.path, { layers: [await busyboxLayer(), own] });
  await pushLayout(layout.folder, `${hub.host}/library/base:latest`);
});
after(() => hub[Symbol.asyncDispose]());

async function writeDockerfile(container: Container, lines: readonly string[]): Promise<void> {
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), ["FROM base", "ENV PATH=/bin", ...lines, ""].join("\n"));
  await container.own(container.build);
}

for (const [kind, launch] of Object.entries(kinds) as [ContainerKind, Launch][]) {
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
