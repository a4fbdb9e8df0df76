import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { budgetFor } from "../../../src/builder/cache-mounts/disk-guard.ts";
import { findMounts } from "../../../src/builder/cache-mounts/find-mounts.ts";
import { mountKey } from "../../../src/builder/cache-mounts/mount-flags.ts";
import { findOpenings } from "../../../src/builder/cache-mounts/stage-openings.ts";
import { runTransfer } from "../../../src/builder/cache-mounts/transfer.ts";
import { reportMark } from "../../../src/builder/cache-mounts/transfer-dockerfile.ts";
import { unpackBases } from "../../../src/builder/cache-mounts/unpack-bases.ts";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { hostPlatform } from "../../../src/image/platform.ts";
import { pushFrontend } from "../../support/images/frontends.ts";
import { busyboxLayer, pushLayout, writeLayout } from "../../support/images/image-writer.ts";
import { startTransferDaemon } from "../../support/runs/transfer-daemon.ts";
import { untilTestsEnd } from "../../support/runs/until-tests-end.ts";
import { type Registry, startRegistry } from "../../support/servers/registry.ts";

const login = { username: "reader", password: "secret" };
const native = hostPlatform(process.arch);
const [folder] = await untilTestsEnd(createPrivateFolder("test-bases"));
/** The daemon, a registry that anybody may read, and one that asks for a login, which the daemon's clients have. */
const [daemon, open, locked] = await untilTestsEnd(
  startTransferDaemon(folder.path),
  startRegistry(),
  startRegistry({ htpasswd: { [login.username]: login.password } }),
);
const frontend = await pushFrontend("dockerfile", open.host, folder.path);
const auth = Buffer.from(`${login.username}:${login.password}`).toString("base64");
const docker = join(folder.path, "docker");
await mkdir(docker);
await writeFile(join(docker, "config.json"), JSON.stringify({ auths: { [locked.host]: { auth } } }));
const context = { ...daemon.context, env: { ...daemon.context.env, DOCKER_CONFIG: docker } };

let images = 0;

/** Pushes an image whose layer no other image has. */
async function pushBase(registry: Registry, config: Record<string, unknown> = {}) {
  const name = `base-${images++}`;
  const layout = await writeLayout(join(folder.path, name), {
    layers: [[...(await busyboxLayer()), { name: "noise", content: name }]],
    config: { Env: ["PATH=/bin"], ...config },
  });
  const reference = `${registry.host}/${name}`;
  await pushLayout(layout.folder, reference, registry === locked ? login : {});
  const layer = layout.images[0]?.layers[0]?.descriptor.digest ?? "";
  return {
    reference,
    layout: layout.folder,
    digest: layout.descriptor.digest,
    timesFetched: () => registry.log().split(`GET /v2/${name}/blobs/${layer}`).length - 1,
  };
}

type Base = Awaited<ReturnType<typeof pushBase>>;

interface Bases {
  readonly dockerfile: string;
  readonly options?: Readonly<Record<string, string>>;
  readonly locals?: Readonly<Record<string, string>>;
  readonly layouts?: Readonly<Record<string, string>>;
  readonly platforms?: readonly (typeof native)[];
}

/** Unpacks the bases of a Dockerfile's cache mounts, to the end. Answers whether there was anything to begin. */
async function unpack({ dockerfile, options = {}, locals = {}, layouts = {}, platforms }: Bases) {
  const buildArgs = Object.fromEntries(
    Object.entries(options).flatMap(([name, value]) =>
      name.startsWith("build-arg:") ? [[name.slice("build-arg:".length), value]] : [],
    ),
  );
  const find = {
    dockerfile,
    buildArgs,
    targets: [""],
    platforms: platforms ?? [native],
    buildPlatform: native,
  };
  const { mounts } = findMounts(find);
  assert.ok(mounts.length > 0);
  const unpacking = unpackBases(context, {
    dockerfile,
    openings: findOpenings(find, new Set(mounts.map(mountKey))),
    solve: {
      target: "",
      options: new Map(Object.entries(options)),
      locals: new Map(Object.entries({ context: folder.path, dockerfile: folder.path, ...locals })),
      layouts: new Map(Object.entries(layouts)),
      policyFile: undefined,
      secrets: [],
      ssh: [],
      allow: [],
      exporterAttributes: new Map(),
      platforms: platforms ?? [],
    },
    importCaches: [],
  });
  await unpacking?.ended;
  return unpacking !== undefined;
}

const use = "RUN --mount=type=cache,target=/m true\n";

interface Row {
  readonly what: string;
  readonly bases: (base: Base) => Bases;
  readonly isPrivate?: boolean;
  readonly isUnpacked: boolean;
}

const rows: readonly Row[] = [
  {
    what: "a base named by a tag",
    bases: ({ reference }) => ({ dockerfile: `FROM ${reference}:latest AS main\nWORKDIR /app\n${use}` }),
    isUnpacked: true,
  },
  {
    what: "a base named by its digest",
    bases: ({ reference, digest }) => ({ dockerfile: `FROM ${reference}@${digest}\nWORKDIR /app\n${use}` }),
    isUnpacked: true,
  },
  {
    what: "a base that asks for a login",
    isPrivate: true,
    bases: ({ reference }) => ({ dockerfile: `FROM ${reference}\nWORKDIR /app\n${use}` }),
    isUnpacked: true,
  },
  {
    what: "a base named by args with other values than their defaults",
    bases: ({ reference }) => ({
      dockerfile: `ARG image=none/none\nARG tag="late\\\nst"\nFROM "\${image}:$tag"\nARG dir\nENV sub=b\nUSER 7\nWORKDIR \${dir:-/a}/$sub\n${use}`,
      options: { "build-arg:image": reference, "build-arg:dir": "/d" },
    }),
    isUnpacked: true,
  },
  {
    what: "a base under another escape character",
    bases: ({ reference }) => ({
      dockerfile: `# escape=\`\nFROM \`\n  ${reference}\nENV a=b \`\n  c=d\nWORKDIR /app\n${use}`,
    }),
    isUnpacked: true,
  },
  {
    what: "the base of the stage that a stage is built on",
    bases: ({ reference }) => ({
      dockerfile: `FROM ${reference} AS first\nWORKDIR /app\nFROM first AS second\nFROM second\n${use}`,
    }),
    isUnpacked: true,
  },
  {
    what: "the base of the build platform, for several platforms",
    bases: ({ reference }) => ({
      dockerfile: `FROM --platform=$BUILDPLATFORM ${reference}\nARG TARGETARCH\nWORKDIR /app-$TARGETARCH\n${use}`,
      options: { platform: "linux/amd64,linux/arm64" },
      platforms: ["amd64", "arm64"].map((architecture) => ({ os: "linux", architecture })),
    }),
    isUnpacked: true,
  },
  {
    what: "an image that a named context puts in the base's place",
    bases: ({ reference }) => ({
      dockerfile: `FROM base\nWORKDIR /app\n${use}`,
      options: { "context:base": `docker-image://${reference}` },
    }),
    isUnpacked: true,
  },
  {
    what: "an image of the inputs in the base's place, though its name is that of an image in a registry",
    bases: ({ reference, layout, digest }) => ({
      dockerfile: `FROM ${reference}\nWORKDIR /app\n${use}`,
      options: { [`context:${reference}`]: `oci-layout://input@${digest}` },
      layouts: { input: layout },
    }),
    isUnpacked: false,
  },
  {
    what: "a base as another frontend reads it",
    bases: ({ reference }) => ({
      dockerfile: `# syntax=${frontend}\nFROM ${reference}\nWORKDIR /app\n${use}`,
    }),
    isUnpacked: true,
  },
  {
    what: "the base of a frontend that can't be had",
    bases: ({ reference }) => ({
      dockerfile: `# syntax=${open.host}/gone:1\nFROM ${reference}\nWORKDIR /app\n${use}`,
    }),
    isUnpacked: false,
  },
  {
    what: "a base beside one that can't be had",
    bases: ({ reference }) => ({
      dockerfile: `FROM ${open.host}/gone:1 AS gone\nWORKDIR /app\n${use}FROM ${reference}\nWORKDIR /app\nCOPY --from=gone / /\n${use}`,
    }),
    isUnpacked: false,
  },
  {
    what: "the base of a stage without cache mounts",
    bases: ({ reference }) => ({
      dockerfile: `FROM ${reference} AS other\nWORKDIR /app\nFROM scratch\nCOPY --from=other / /\nWORKDIR /app\n${use}`,
    }),
    isUnpacked: false,
  },
];

for (const { what, bases, isPrivate = false, isUnpacked } of rows) {
  test(`while mounts are restored, ${what} is ${isUnpacked ? "" : "not "}fetched`, async () => {
    const base = await pushBase(isPrivate ? locked : open);
    await unpack(bases(base));
    assert.equal(base.timesFetched(), isUnpacked ? 1 : 0);
    assert.equal(daemon.step.logged(), "");
  });
}

test("nothing is begun for stages without an image", async () => {
  assert.equal(await unpack({ dockerfile: `FROM scratch\nWORKDIR /app\n${use}` }), false);
});

test("what a base image's ONBUILD runs is left to the build, with its secrets and its cache mounts", async () => {
  const base = await pushBase(open, {
    OnBuild: [
      "RUN --mount=type=secret,id=index --mount=type=cache,target=/m cp /run/secrets/index /result || echo none > /result; echo ran >> /m/ran; cp /m/ran /ran",
    ],
  });
  const opening = `FROM ${base.reference}\nWORKDIR /app\n`;
  await unpack({ dockerfile: `${opening}${use}` });
  const { reports } = await runTransfer(context, {
    dockerfile: `${opening}RUN echo ${reportMark} $(cat /result) $(wc -l < /ran)\n`,
    budget: budgetFor(1e9),
    secret: { id: "index", text: "token" },
  });
  assert.deepEqual(reports, [["token", "1"]]);
});
