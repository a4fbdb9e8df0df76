import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type Container, startContainer } from "../support/containers/container.ts";
import type { ContainerKind } from "../support/containers/kinds.ts";
import { filesIn, putOf } from "../support/containers/puts.ts";
import { startDockerHub } from "../support/images/debian.ts";
import { until } from "../support/runs/wait-until.ts";
import { launches } from "./matrix.ts";

/** One container for each way that BuildKit runs; and guardian's, whose seccomp profile knows fewer system calls. */
const kinds: readonly ContainerKind[] = [
  "full",
  "unprivileged-on-fuse-only",
  "unprivileged",
  "guardian-unprivileged",
];

/** What a step may have beside BuildKit: a server on loopback, which echoes, and one on a socket without a file. */
const neighbours = `const { createServer } = require("node:net");
const [tcp, abstract] = [createServer((socket) => socket.pipe(socket)), createServer()];
tcp.listen(4711, "127.0.0.1", () => abstract.listen("\\0step-socket", () => console.log("listening")));`;

/**
 * Prints the error numbers of system calls that a RUN's seccomp filter refuses by EPERM (1), then those of a child
 * that is another program; at last that of getppid(2) in such a child of a program that has added a filter of its
 * own, which refuses it by EACCES (13). By their numbers for x86-64.
 */
const calls = `my $check = 'for (@ARGV) { my ($call, @given) = map { 0 + $_ } split /,/; my $got = syscall($call, @given); printf " %d", $got < 0 ? $! : 0 }';
my @refused = ("272,268435456", "250,0,-3,0,0", "248,0,0,0,0,0"); # unshare(CLONE_NEWUSER), keyctl, add_key
my $filter = pack "SCCL" x 4, 32, 0, 0, 0, 21, 0, 1, 110, 6, 0, 0, 0x5000d, 6, 0, 0, 0x7fff0000;
my $program = pack "S x6 P", 4, $filter;
$| = 1;
print "refused";
system $^X, "-e", 'system @ARGV', $^X, "-e", $check, @refused;
syscall(157, 38, 1, 0, 0, 0); syscall(157, 22, 2, $program); # prctl: no new privileges, a filter
print ", with a filter";
system $^X, "-e", 'system @ARGV', $^X, "-e", $check, @refused, "110";
print "\\n";
`;

/** Sends a text in two pieces by writev(2), and prints what readv(2) reads of the answer into two pieces. */
const pieces = `use Socket;
socket(S, PF_INET, SOCK_STREAM, 0); connect(S, sockaddr_in(4711, inet_aton("127.0.0.1"))) or die;
my ($here, $there) = ("to and ", "fro");
syscall(20, fileno(S), pack("PQPQ", $here, 7, $there, 3), 2) == 10 or die "writev: $!";
recv(S, my $all, 10, MSG_PEEK | MSG_WAITALL);
my ($first, $rest) = ("_" x length $here, "_" x length $there);
syscall(19, fileno(S), pack("PQPQ", $first, 7, $rest, 3), 2) == 10 or die "readv: $!";
print "pieces $first$rest\\n";
`;

const looking = `FROM debian:bookworm-slim
RUN perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0); print "loopback ", connect(S, sockaddr_in(4711, inet_aton("127.0.0.1"))) ? "yes" : "no"; socket(U, PF_UNIX, SOCK_STREAM, 0); print ", abstract socket ", connect(U, pack_sockaddr_un("\\0step-socket")) ? "yes" : "no"'; \\
    echo ", processes $(cat /proc/[0-9]*/comm | grep -cxE 'buildkitd|buildctl|runsc.*|node|MainThread|exe'), folders $(ls -A /tmp /scratch 2>/dev/null | grep -c oci-build)"
RUN --mount=type=bind,target=/context perl /context/calls.pl
RUN --mount=type=bind,target=/context perl /context/pieces.pl
RUN --security=insecure --mount=type=bind,target=/context perl /context/calls.pl
RUN --mount=type=secret,id=file --mount=type=secret,id=variable,env=VARIABLE cat /run/secrets/file > /dev/null; echo run""ning; sleep 600
`;

async function writeLooking(container: Container): Promise<void> {
  const app = join(container.build, "put/app");
  await mkdir(app, { recursive: true });
  await writeFile(join(app, "Dockerfile"), looking);
  await writeFile(join(app, "calls.pl"), calls);
  await writeFile(join(app, "pieces.pl"), pieces);
  await container.own(container.build);
}

for (const kind of kinds) {
  const isSandboxed = launches[kind] === "in gVisor";
  // A network of its own would take rights that a step without privileges hasn't, or a slower one in user space.
  const abstract = isSandboxed ? "no" : "yes";

  test(`in a container of the kind ${kind} a RUN reaches the step's loopback, no process or folder of it, and no system call that is refused; SIGKILL ends all`, async () => {
    await using hub = await startDockerHub();
    await using container = await startContainer(kind, { ports: [Number(new URL(hub.url).port)] });
    await writeLooking(container);
    const { child: servers } = await container.start(["node", "-e", neighbours]);
    await Promise.race([once(servers.stdout, "data"), servers]);
    const source = { directory: "/tmp/builds", registry_mirrors: [hub.url] };
    const earlier = await filesIn(container);
    const { child } = await container.start(
      ...putOf(source, {
        allow: ["security.insecure"],
        secrets: { file: { text: "canary-of-file" }, variable: { text: "canary-of-variable" } },
      }),
    );
    let log = "";
    const running = Promise.withResolvers<void>();
    child.stderr.on("data", (bytes: Buffer) => {
      log += bytes.toString();
      if (/\] running/.test(log)) running.resolve();
    });
    await Promise.race([running.promise, child]);
    assert.ok(log.includes(`loopback yes, abstract socket ${abstract}, processes 0, folders 0`), log);
    assert.match(log, /\] pieces to and fro$/m);
    // Without the filter of RUN, the kernel allows the first.
    assert.match(log, /\] refused 1 1 1, with a filter 1 1 1 13$/m);
    assert.match(log, /\] refused 0 .*, with a filter 0 .* 13$/m);
    await container.kill(/main\.mjs out/);
    await child;
    await container.kill(/step-socket/);
    await servers;
    await until(async () => (await container.processes()).length === 0, "every process ends with the step");
    const left = [...(await filesIn(container)).difference(earlier)];
    // In gVisor, runc's and mount's own notes are in the sandbox.
    const known = isSandboxed
      ? /^\/tmp\/(oci-build-|builds)/
      : /^\/(tmp\/(oci-build-|builds)|run\/(runc|mount))/;
    assert.deepEqual(
      left.filter((path) => !known.test(path)),
      [],
    );
    // What is left is in folders that go with the container, and for root alone. runc gets variables by a file, which
    // is in BuildKit's state.
    const places = {
      "canary-of-file": /^\/tmp\/oci-build-/,
      "canary-of-variable": /^\/(tmp|scratch)\/oci-build-/,
    };
    for (const [canary, place] of Object.entries(places)) {
      const excluded = ["proc", "sys", "dev"].map((name) => `--exclude-dir=${name}`);
      const { stdout } = await container.exec(["grep", "-rlsa", canary, "/", ...excluded]);
      const found = stdout.split("\n").filter(Boolean);
      assert.ok(found.length > 0, canary);
      for (const file of found) assert.match(file, place, canary);
    }
    const others = await container.exec([
      "find",
      "/tmp",
      "/scratch",
      "-maxdepth",
      "1",
      "-name",
      "oci-build-*",
      "-perm",
      "/077",
    ]);
    assert.equal(others.stdout, "");
  });
}
