import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { storeImage } from "../support/images/stored-image.ts";
import { shell } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, runResource } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [daemon] = await untilTestsEnd(startBuildkitd());

/** The files of these puts can't be executed as they are. */
const tools = shell.replace("COPY busybox", "COPY --chmod=755 busybox");

const missing: Readonly<Record<string, string>> = {
  "a COPY": "FROM scratch\nCOPY missing.txt /\n",
  "an ADD": "FROM scratch\nADD missing.txt /\n",
  "a COPY from a stage": `${tools}FROM scratch\nCOPY --from=shell /missing.txt /\n`,
  "a COPY through links in a circle": `${tools}RUN ln -s b /a; ln -s a /b\nFROM scratch\nCOPY --from=shell /a/x /\n`,
  "a COPY of a path under a file": `${tools}FROM scratch\nCOPY --from=shell /bin/busybox/x /\n`,
  "a bind mount": `${tools}RUN --mount=type=bind,source=missing.txt,target=/m cat /m\n`,
  "a bind mount from a stage": `${tools}FROM shell\nRUN --mount=type=bind,from=shell,source=/missing.txt,target=/m cat /m\n`,
};
for (const [what, dockerfile] of Object.entries(missing)) {
  test(`${what} of what isn't there is told once, whatever layer cache there is`, async () => {
    await using folder = await createPrivateFolder("test-failures");
    const run = await smallPut({
      source: {
        directory: join(folder.path, "builds"),
        buildkit: { address: daemon.address },
        cache: { type: "local", directory: join(folder.path, "cache") },
      },
      dockerfile,
      files: { "app/busybox": await readFile("/bin/busybox") },
    });
    assertFailedCleanly(run, /isn't in|not a directory|too many links|no such file or directory/);
    assert.doesNotMatch(run.stderr, /The layer cache may be damaged|layer cache not used/);
    assert.equal(run.stderr.match(/^>>>|^\s*\d+ \| >>>/gm)?.length ?? 0, 1);
  });
}

const mistakes: readonly (readonly [string, string, RegExp])[] = [
  [
    "a base image that isn't there",
    "FROM REGISTRY/nothing:1\n",
    /image \S+\/nothing:1 can't be pulled: \S+ has no such image \(not found\)/,
  ],
  [
    "a base image of a host that is down",
    "FROM 127.0.0.1:1/nothing:1\n",
    /image 127\.0\.0\.1:1\/nothing:1 can't be pulled: 127\.0\.0\.1:1 can't be reached/,
  ],
  [
    "a stage of another name",
    "FROM scratch AS build\nCOPY Dockerfile /x\nFROM scratch\nCOPY --from=buidl /x /\n",
    /there is no stage "buidl" \(did you mean "build"\?\); the Dockerfile's stages: build/,
  ],
  [
    "a file of another name",
    "FROM scratch\nCOPY Dockerfil /\n",
    /Dockerfil isn't in the context "app" \(did you mean Dockerfile\?\)/,
  ],
  [
    "a file that is ignored",
    "FROM scratch\nCOPY kept.txt /\n",
    /kept\.txt is in the context "app", but app\/\.dockerignore keeps it out of the build/,
  ],
  [
    "an ARG with a time that is none",
    "ARG SOURCE_DATE_EPOCH=now\nFROM scratch\nCOPY Dockerfile /\n",
    /the build arg SOURCE_DATE_EPOCH is "now"; expected whole seconds since 1970/,
  ],
  [
    "a RUN in an image without a shell",
    "FROM scratch\nRUN true\n",
    /exit code: 1; the image has no \/bin\/sh, which runs a RUN/,
  ],
  [
    "a program that isn't executable",
    `${tools}COPY --chmod=644 Dockerfile /tool\nRUN ["/tool"]\n`,
    /exit code: 1; \/tool is not executable: COPY it with --chmod=755/,
  ],
  [
    "a file of another platform",
    `${tools}COPY --chmod=755 Dockerfile /tool\nRUN ["/tool"]\n`,
    /exit code: 255; the program is for another platform, or is a script without a first line/,
  ],
  [
    "an owner by a name that the stage doesn't have",
    "FROM scratch\nCOPY --chown=web Dockerfile /\n",
    /--chown can't look up the name.*: use numbers/,
  ],
  [
    "a user that the image doesn't have",
    `${tools}USER web\nRUN true\n`,
    /the image has no user "web": add it in a RUN before USER/,
  ],
  [
    "a server that is down",
    "FROM scratch\nADD http://127.0.0.1:1/x.tgz /\n",
    /http:\/\/127\.0\.0\.1:1\/x\.tgz can't be fetched \(.*connection refused\): check the URL/,
  ],
  [
    "a git repository without a key",
    "FROM scratch\nADD git@127.0.0.1:a/b.git /src\n",
    /the git repository git@127\.0\.0\.1:a\/b\.git is read with an SSH key, and none is given/,
  ],
  [
    "a stage that comes later",
    "FROM later AS early\nFROM scratch AS later\nFROM early\n",
    /the stage "later" is defined after this line/,
  ],
  [
    "a secret that isn't given",
    `${tools}RUN --mount=type=secret,id=tok,required=true true\n`,
    /add "secrets: \{tok: \{text: …\}\}"/,
  ],
  [
    "a secret that isn't given, and that the RUN needs",
    `${tools}RUN --mount=type=secret,id=tok cat /run/secrets/tok\n`,
    /exit code: 1\na secret that it mounts isn't given; if it needs it, add "secrets: \{tok: \{text: …\}\}"/,
  ],
  [
    "an SSH key that isn't given, and that the RUN needs",
    `${tools}RUN --mount=type=ssh,id=git ls "$SSH_AUTH_SOCK"\n`,
    /exit code: 1\nan SSH key that it mounts isn't given; if it needs it, add "ssh: \{git: …\}"/,
  ],
  [
    "a variable of FROM that is empty",
    "ARG TAG\nFROM alpine:$TAG\n",
    /FROM names "alpine:", which is not an image name \(.*\): .* give it a value under "build_args"/,
  ],
  [
    "an SBOM scanner that isn't there",
    "FROM scratch\nCOPY Dockerfile /\n",
    /the SBOM scanner 127\.0\.0\.1:1\/scanner:1 \(name one that can be reached/,
  ],
];
for (const [what, dockerfile, message] of mistakes) {
  test(`${what} is told with what to change`, async () => {
    await using folder = await createPrivateFolder("test-failures");
    await using registry = await startRegistry();
    const run = await smallPut({
      source: { directory: join(folder.path, "builds"), buildkit: { address: daemon.address } },
      dockerfile: dockerfile.replace("REGISTRY", registry.host),
      params: what.includes("SBOM") ? { sbom: { generator: "127.0.0.1:1/scanner:1" } } : {},
      files: {
        "app/busybox": await readFile("/bin/busybox"),
        "app/kept.txt": "",
        "app/.dockerignore": "*.txt\n",
      },
    });
    assertFailedCleanly(run, message);
  });
}

test("a bad pattern of an ignore file is told with file and line", async () => {
  await using folder = await createPrivateFolder("test-failures");
  const run = await smallPut({
    source: { directory: join(folder.path, "builds"), buildkit: { address: daemon.address } },
    files: { "app/.dockerignore": "ok\n[a-\n" },
  });
  assertFailedCleanly(run, /app\/\.dockerignore, line 2: "\[a-" is not a pattern/);
});

test("wrong credentials of a private base image are told apart from missing ones", async () => {
  await using folder = await createPrivateFolder("test-failures");
  await using registry = await startRegistry({ htpasswd: { reader: "right" } });
  const { tag } = await storeImage(`${registry.host}/base`, undefined, {
    username: "reader",
    password: "right",
  });
  const put = (login: object) =>
    smallPut({
      source: {
        directory: join(folder.path, "builds"),
        registries: { [registry.host]: { insecure: true, ...login } },
      },
      dockerfile: `FROM ${registry.host}/base:${tag}\n`,
    });
  const wrong = await put({ username: "reader", password: "wrong" });
  assertFailedCleanly(
    wrong,
    /refuses it to the user given for \S+ \(.*401 Unauthorized\): check username and password/,
  );
  assertFailedCleanly(
    await put({}),
    /if it is private, give username and password for \S+ under "registries"/,
  );
});

test("in a task, what to change is told by its variables", async () => {
  await using folder = await createPrivateFolder("test-failures");
  await writeFile(join(folder.path, "Dockerfile"), "FROM 127.0.0.1:1/nothing:1\n");
  await mkdir(join(folder.path, "image"));
  const run = await runResource("build", { cwd: folder.path, env: { NO_COLOR: "1" } });
  assertFailedCleanly(run, /127\.0\.0\.1:1 can't be reached .*in the variable REGISTRIES/);
  assert.doesNotMatch(run.stderr, /the source/);
});
