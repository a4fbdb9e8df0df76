import assert from "node:assert/strict";
import { test } from "node:test";
import { startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";

/**
 * System calls, as perl(1) makes them, with arguments that the kernel itself refuses by something else than EPERM, or
 * that do no harm. By their numbers for x86-64.
 */
const calls = {
  mount: "165, $type, $place, $type, 0, 0",
  "a user namespace": "272, 0x10000000",
  "a mount namespace": "272, 0x20000",
  "joining a mount namespace": "308, -1, 0x20000",
  "joining a network namespace": "308, -1, 0x40000000",
  keyctl: "250, 0, -3, 0",
  sethostname: "170, $name, 4",
  ptrace: "101, 0, 0, 0, 0",
} as const;
type Call = keyof typeof calls;

const always: readonly Call[] = [];
const ofPrivileges: readonly Call[] = ["mount", "a mount namespace"];
const plain: readonly Call[] = [
  ...ofPrivileges,
  "a user namespace",
  "joining a mount namespace",
  "joining a network namespace",
  "keyctl",
  "sethostname",
];

/** What Concourse's containers refuse, by their capabilities and their seccomp profile. */
const refused: Readonly<Record<ContainerKind, readonly Call[]>> = {
  full: always,
  guardian: always,
  "fuse-only": ["joining a network namespace"],
  "fuse-only-released": ["joining a mount namespace", "joining a network namespace", "keyctl", "sethostname"],
  "unprivileged-on-fuse-only": [...ofPrivileges, "joining a network namespace", "sethostname"],
  "operator-profile": [
    ...ofPrivileges,
    "joining a mount namespace",
    "joining a network namespace",
    "sethostname",
  ],
  unprivileged: plain,
  "guardian-unprivileged": plain,
  "unprivileged-before-8": [...plain, "ptrace"],
};

for (const [kind, expected] of Object.entries(refused) as [ContainerKind, readonly Call[]][]) {
  test(`a container of the kind ${kind} refuses what Concourse's refuses, and nothing else`, async () => {
    await using container = await startContainer(kind, { isBare: true });
    const found: string[] = [];
    for (const [name, call] of Object.entries(calls)) {
      const asked = await container.exec([
        "perl",
        "-e",
        `($name, $type, $place) = ("step", "tmpfs", "/mnt"); syscall(${call}) < 0 and print $! + 0`,
      ]);
      assert.equal(asked.exitCode, 0, asked.stderr);
      if (asked.stdout === "1") found.push(name);
    }
    assert.deepEqual(found.toSorted(), expected.toSorted());
  });
}
