import assert from "node:assert/strict";
import { test } from "node:test";
import {
  checkEngineLimits,
  gvisorLimits,
  type LimitedBuild,
  type LimitedEngine,
  type Limits,
  limitBehind,
} from "../../../src/builder/engine/limits.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

const gvisor: LimitedEngine = { limits: gvisorLimits, where: "in a gVisor sandbox" };
const namespace: LimitedEngine = {
  limits: {
    ownNetworks: true,
    deviceNodes: false,
    networkRights: false,
    foreignPrograms: true,
    controlGroups: false,
    hostNames: true,
    tellsFullDisks: true,
  } satisfies Limits,
  where: "in a user namespace",
};
const own = { os: "linux", architecture: "amd64" };

function warnings(engine: LimitedEngine, build: Partial<LimitedBuild>): string[] {
  const told: string[] = [];
  checkEngineLimits(
    engine,
    {
      network: "default",
      allow: [],
      frontendOptions: {},
      platforms: [],
      own,
      dockerfile: undefined,
      ...build,
    },
    { names: namesOfPut, log: { colours: false, line: () => {}, warn: (text) => told.push(text) } },
  );
  return told;
}

test("a Dockerfile's commands are warned of, and its comments and FIFOs are not", () => {
  const fifos = "FROM base\n# RUN --network=none mknod /device c 1 3\n  # mknod\nRUN mknod /pipe p\n";
  for (const engine of [gvisor, namespace]) assert.deepEqual(warnings(engine, { dockerfile: fifos }), []);
  assert.match(
    warnings(namespace, { dockerfile: "FROM base\nRUN mknod /d b 8 0" })[0] ?? "",
    /mknod can't make a device/,
  );
  assert.match(
    warnings(gvisor, { dockerfile: "FROM base\nrun --network=none true" })[0] ?? "",
    /RUN --network=none fails/,
  );
});

test("a platform is warned of only where a RUN for it can't run", () => {
  assert.deepEqual(warnings(gvisor, { platforms: [own] }), []);
  assert.match(
    warnings(gvisor, { platforms: [own, { os: "linux", architecture: "386" }] })[0] ?? "",
    /^linux\/386: a RUN for it fails here/,
  );
  assert.deepEqual(warnings(namespace, { platforms: [{ os: "linux", architecture: "386" }] }), []);
});

test("a param that has no effect is warned of by its name, and no other param is", () => {
  const params = {
    allow: ["network.host", "security.insecure"] as const,
    frontendOptions: { hostname: "web", memory: "1", cpusetcpus: "0", "cgroup-parent": "x", other: "1" },
  };
  const all =
    /^(allow: security\.insecure gives|options\.(memory|cpusetcpus|cgroup-parent): it has no effect) /;
  for (const engine of [gvisor, namespace]) {
    const told = warnings(engine, params);
    assert.equal(told.length, 4);
    for (const line of told) {
      assert.match(line, all);
      assert.ok(
        line.includes(`BuildKit runs ${engine.where}`) || line.includes(`it runs ${engine.where}`),
        line,
      );
    }
  }
  const shimmed = { ...namespace, limits: { ...namespace.limits, controlGroups: true, hostNames: false } };
  assert.match(
    warnings(shimmed, { frontendOptions: params.frontendOptions }).join("\n"),
    /^options\.hostname: it has no effect here, [^\n]*$/,
  );
});

test("a RUN whose limits runc can't set is answered with the options that ask for them", () => {
  const said =
    "runc run failed: unable to start container process: error during container init: error setting cgroup config for procHooks process: openat2 /sys/fs/cgroup/buildkit/x/memory.max: no such file or directory";
  assert.match(limitBehind(gvisor, said, namesOfPut) ?? "", /control groups can't limit a RUN: leave memory/);
});

test("processors that the machine doesn't have are named as the cause, and not the way BuildKit runs", () => {
  const said =
    'runc run failed: unable to start container process: unable to apply cgroup configuration: failed to write "7": write /sys/fs/cgroup/cpuset/buildkit/x/cpuset.cpus: numerical result out of range';
  assert.match(limitBehind(namespace, said, namesOfPut) ?? "", /^options\.cpusetcpus names processors that/);
  const ofNodes = said.replace("cpuset.cpus: numerical result out of range", "cpuset.mems: invalid argument");
  assert.match(
    limitBehind(gvisor, ofNodes, namesOfPut) ?? "",
    /^options\.cpusetmems names memory nodes that/,
  );
});

test("a step that failed by a limit of how BuildKit runs is answered with it, and no other step", () => {
  const said = {
    "runc run failed: unable to start container process: error during container init: protocol not supported\nexit code: 1":
      [gvisor, /network of its own/],
    "/bin/sh: /tool: Exec format error\nexit code: 126": [gvisor, /32-bit programs/],
    "exec /tool: exec format error\nexit code: 255": [gvisor, /32-bit programs/],
    "ping: can't create raw socket: Operation not permitted\nexit code: 1": [namespace, /raw sockets/],
    "ping: socktype: SOCK_RAW\nping: socket: Operation not permitted\nexit code: 2": [
      namespace,
      /raw sockets/,
    ],
    "ping: permission denied (are you root?)\nexit code: 1": [namespace, /raw sockets/],
    "nginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)\nexit code: 1": [
      namespace,
      /ports below/,
    ],
    "mknod: /device: Operation not permitted\nexit code: 1": [namespace, /no device node/],
  } as const;
  for (const [failure, [engine, expected]] of Object.entries(said)) {
    assert.match(limitBehind(engine, failure, namesOfPut) ?? "", expected, failure);
    assert.equal(
      limitBehind(engine === gvisor ? namespace : gvisor, failure, namesOfPut),
      undefined,
      failure,
    );
  }
  for (const engine of [gvisor, namespace])
    assert.equal(limitBehind(engine, "make: *** [all] Error 2\nexit code: 2", namesOfPut), undefined);
});
