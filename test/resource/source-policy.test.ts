import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { stringify } from "yaml";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { pushLayout, writeLayout } from "../support/images/image-writer.ts";
import { makeSite } from "../support/runs/put-and-get.ts";
import { assertFailedCleanly, type Run, runResource, versionOf } from "../support/runs/resource.ts";
import { untilTestsEnd } from "../support/runs/until-tests-end.ts";
import { startBuildkitd } from "../support/servers/buildkit.ts";
import { makeRepository, startGitServer } from "../support/servers/git-server.ts";
import { startRegistry } from "../support/servers/registry.ts";

const [daemon, registry, site] = await untilTestsEnd(startBuildkitd(), startRegistry(), makeSite(""));

/** The file /mark says `one` in its image 1, and `two` in its image 2. */
const base = `${registry.host}/base`;

/** Pushes an image with a file /mark, and answers its manifest's digest. */
async function pushMarked(tag: string, content: string): Promise<string> {
  const folder = join(site.inputs, `base-${tag}`);
  const { descriptor } = await writeLayout(folder, { layers: [[{ name: "mark", content }]] });
  await pushLayout(folder, `${base}:${tag}`);
  return descriptor.digest;
}

await pushMarked("1", "one");
const digestOfTwo = await pushMarked("2", "two");

type Fields = Readonly<Record<string, unknown>>;

const put = (dockerfile: string, params: Fields): Promise<Run> =>
  site.put({ dockerfile_inline: dockerfile, ...params }, { buildkit: { address: daemon.address } });

const deny = (identifier: string, more: Fields = {}) => ({
  action: "DENY",
  selector: { identifier, ...more },
});
const allow = (identifier: string) => ({ action: "ALLOW", selector: { identifier } });
const policy = (...rules: readonly unknown[]) => ({ source_policy: { rules } });

const marked = async (run: Run) => readFile(join(await site.get(run), "rootfs/mark"), "utf8");

test("a CONVERT pins a base image, by a policy as a map, as JSON or YAML in a text or in a file of the inputs", async () => {
  const rule = {
    action: "CONVERT",
    selector: { identifier: `docker-image://${base}:1` },
    updates: { identifier: `docker-image://${base}:2@${digestOfTwo}` },
  };
  const dockerfile = `FROM ${base}:1\nCOPY Dockerfile /\n`;
  assert.equal(await marked(await put(dockerfile, {})), "one");
  const text = JSON.stringify({ version: 1, rules: [rule] });
  const yaml = stringify({ rules: [rule] });
  await writeFile(join(site.inputs, "app/policy.json"), text);
  await writeFile(join(site.inputs, "app/policy.yml"), `# pinned\n---\n${yaml}`);
  for (const source_policy of [{ rules: [rule] }, text, yaml, "app/policy.json", "app/policy.yml"]) {
    const run = await put(dockerfile, { source_policy, provenance: "max" });
    assert.equal(await marked(run), "two");
    // The log and the build's record name the image that was used.
    const record = await readFile(join(await site.get(run), "build.json"), "utf8");
    const { base_images: images } = JSON.parse(record) as { base_images: { digest: string }[] };
    assert.deepEqual(
      images.map(({ digest }) => digest),
      [digestOfTwo],
    );
    assert.match(run.stderr, new RegExp(`FROM ${base}:2@${digestOfTwo}`));
    assert.doesNotMatch(run.stderr, /no image of this build matches/);
    // So does the provenance, and it alone names what was asked for.
    const { materials } = await provenanceOf(await site.get(run, { output_oci: true }));
    const pinned = materials.filter(({ uri }) => uri.includes("base"));
    assert.deepEqual(
      pinned.map(({ digest }) => `sha256:${digest["sha256"]}`),
      [digestOfTwo],
    );
    assert.match(decodeURIComponent(pinned[0]?.uri ?? ""), new RegExp(`${base}@2`));
  }
});

interface Provenance {
  readonly materials: readonly { readonly uri: string; readonly digest: Readonly<Record<string, string>> }[];
}

/** The provenance (SLSA 0.2 or 1) among the blobs of a get's OCI layout. */
async function provenanceOf(folder: string): Promise<Provenance> {
  const blobs = join(folder, "image/blobs/sha256");
  for (const name of await readdir(blobs)) {
    const text = await readFile(join(blobs, name), "utf8");
    if (!text.startsWith("{") || !text.includes("slsa.dev/provenance") || !text.includes('"predicate"'))
      continue;
    const { predicate } = JSON.parse(text);
    return { materials: predicate.materials ?? predicate.buildDefinition.resolvedDependencies };
  }
  throw new Error(`no provenance in ${folder}`);
}

test("a CONVERT that matches no image is named in one line, and a rule without an action, or with a short name, in a warning", async () => {
  const convert = (from: string) => ({
    action: "CONVERT",
    selector: { identifier: `docker-image://${from}` },
    updates: { identifier: `docker-image://${base}:2` },
  });
  const idle = policy(
    convert(`${base}:1`),
    convert(`${base}:3`),
    convert("docker.io/library/base:1"),
    {
      selector: { identifier: "*" },
    },
    deny("docker-image://alpine:*"),
    deny("^docker-image://alpine:3", { match_type: "REGEX" }),
    { ...convert("(?i)BASE:1$"), selector: { identifier: "(?i)BASE:1$", match_type: "REGEX" } },
  );
  const run = await put(`FROM ${base}:1\nCOPY Dockerfile /\n`, idle);
  assert.equal(await marked(run), "two");
  const lines = run.stderr.split("\n").filter((line) => line.includes("source_policy"));
  assert.deepEqual(lines, [
    "warning: source_policy: rules.3: there is no action, which BuildKit takes for ALLOW: write ALLOW, DENY or CONVERT",
    "warning: source_policy: rules.4: docker-image://alpine:* is for registries with such a name; for images of Docker Hub write docker-image://docker.io/library/alpine:*",
    "warning: source_policy: rules.5: hardly any image matches ^docker-image://alpine:3: BuildKit writes the whole name, as in docker-image://docker.io/library/alpine:3…",
    `source_policy: no image of this build matches rules.1 (CONVERT docker-image://${base}:3), rules.2 (CONVERT docker-image://docker.io/library/base:1); it looked up ${base}:1`,
  ]);
  const nothing = await put("FROM scratch\nCOPY Dockerfile /\n", policy(convert(`${base}:3`)));
  assert.match(nothing.stderr, /^source_policy: no image .* rules\.0 \(CONVERT .*\); it looked up none$/m);
});

test("an image that is refused is named with the rule, in whichever target needs it", async () => {
  const dockerfile = `FROM scratch AS other\nCOPY --from=${base}:2 /mark /\nFROM ${base}:1 AS app\nCOPY Dockerfile /\n`;
  const rules = policy(deny("docker-image://other.example/*"), deny(`docker-image://${base}:2*`));
  assert.equal(await marked(await put(dockerfile, rules)), "one");
  const refused = new RegExp(
    `COPY --from=${base}:2 [\\s\\S]*^image ${base}:2 is refused by rules\\.1 of source_policy \\(DENY docker-image://${base}:2\\*\\); name another, or change the policy$`,
    "m",
  );
  assertFailedCleanly(await put(dockerfile, { ...rules, additional_targets: ["other"] }), refused);
});

test("a rule for an image that another rule has converted names both", async () => {
  const convert = {
    action: "CONVERT",
    selector: { identifier: `docker-image://${base}:(.+)`, match_type: "REGEX" },
    updates: { identifier: `docker-image://${registry.host}/gone:$1` },
  };
  const dockerfile = `FROM ${base}:1\nCOPY Dockerfile /\n`;
  const place = `rules\\.0 of source_policy puts docker-image://${registry.host}/gone:\\$1 in the place of image ${base}:1`;
  const missing = new RegExp(`^image ${base}:1 can't be pulled: .*no such image.* \\(${place}\\)$`, "m");
  assertFailedCleanly(await put(dockerfile, policy(convert)), missing);
  const both = new RegExp(
    `^image ${registry.host}/gone:1 \\(${place}\\) is refused by rules\\.1 of source_policy`,
    "m",
  );
  assertFailedCleanly(
    await put(dockerfile, policy(convert, deny(`docker-image://${registry.host}/gone*`))),
    both,
  );
});

test("images of the inputs pass a policy that forbids all registries, as image args and as contexts", async () => {
  const nothing = policy(deny("docker-image://*"));
  const arg = await put("ARG base\nFROM $base\nCOPY Dockerfile /\n", {
    ...nothing,
    image_args: { base: "base-1" },
  });
  assert.equal(await marked(arg), "one");
  const context = await put(`FROM ${base}:1\nCOPY Dockerfile /\n`, {
    ...nothing,
    contexts: { [`${base}:1`]: "base-2" },
  });
  assert.equal(await marked(context), "two");
});

test("a policy that forbids everything is told what the inputs need, and works with it", async () => {
  const dockerfile = `ARG base\nFROM $base\nCOPY --from=${base}:2 /mark /two\n`;
  const params = { image_args: { base: "base-1" } };
  const local = await put(dockerfile, { ...params, ...policy(deny("*")) });
  assertFailedCleanly(
    local,
    /source local:\/\/dockerfile is refused by rules\.0 .*: add \{"action": "ALLOW", .*"local:\/\/\*"/,
  );
  const layout = await put(dockerfile, {
    ...params,
    ...policy(deny("*"), allow("local://*"), allow("docker-image://*")),
  });
  assertFailedCleanly(
    layout,
    /source oci-layout:\/\/\S+ is refused by rules\.0 .*: add .*"oci-layout:\/\/\*"/,
  );
  const inputs = [deny("*"), allow("local://*"), allow("oci-layout://*")];
  // A name without the digest that BuildKit has found for it.
  const exact = await put(dockerfile, { ...params, ...policy(...inputs, allow(`docker-image://${base}:2`)) });
  assertFailedCleanly(
    exact,
    /base:2@sha256:\w+ is refused by rules\.0 .*has to end with a \*, or name the digest/,
  );
  const run = await put(dockerfile, { ...params, ...policy(...inputs, allow(`docker-image://${base}:2*`)) });
  assert.equal(await readFile(join(await site.get(run), "rootfs/two"), "utf8"), "two");
});

test("git repositories, frontends and SBOM scanners are sources too", async () => {
  const repository = join(site.folder, "served/app.git");
  await mkdir(repository, { recursive: true });
  await cp(join(site.inputs, "app/Dockerfile"), join(repository, "Dockerfile"));
  await makeRepository(repository);
  await using server = await startGitServer(join(site.folder, "served"), { user: "a", password: "b" });
  const context = `http://a:b@${server.host}/app.git/.git`;
  const fromGit = await put("FROM scratch\nCOPY Dockerfile /\n", { context, ...policy(deny("git://*")) });
  assertFailedCleanly(
    fromGit,
    /source git:\/\/\S+ is refused by rules\.0 of source_policy \(DENY git:\/\/\*\)/,
  );
  const frontend = await put(
    `# syntax=${base}:1\nFROM scratch\nCOPY Dockerfile /\n`,
    policy(deny("docker-image://*")),
  );
  assertFailedCleanly(frontend, new RegExp(`image ${base}:1 is refused by rules\\.0 of source_policy`));
  const scanner = await put("FROM scratch\nCOPY Dockerfile /\n", {
    sbom: { generator: `${base}:1` },
    ...policy(deny("docker-image://*")),
  });
  assertFailedCleanly(scanner, new RegExp(`image ${base}:1 is refused by rules\\.0 of source_policy`));
});

test("a task reads its policy from a variable, and its checks heed it", async () => {
  await using folder = await createPrivateFolder("test-policy");
  await mkdir(join(folder.path, "app"));
  await writeFile(join(folder.path, "app/Dockerfile"), `FROM ${base}:1\nCOPY Dockerfile /\n`);
  await writeFile(join(folder.path, "policy.json"), JSON.stringify({ rules: [deny("docker-image://*")] }));
  for (const more of [
    { SOURCE_POLICY: "policy.json" },
    {
      CALL: "check",
      SOURCE_POLICY: '{"rules":[{"action":"DENY","selector":{"identifier":"docker-image://*"}}]}',
    },
  ]) {
    const run = await runResource("build", {
      cwd: folder.path,
      env: { CONTEXT: "app", NO_COLOR: "1", ...more },
    });
    assertFailedCleanly(
      run,
      new RegExp(`^(error: )?image ${base}:1 is refused by rules\\.0 of SOURCE_POLICY`, "m"),
    );
  }
});

test("a policy that BuildKit would misread is refused with its file, and one that it can't apply in its words", async () => {
  const dockerfile = "FROM scratch\nCOPY Dockerfile /\n";
  const file = async (text: string) => {
    await writeFile(join(site.inputs, "app/bad.json"), text);
    return put(dockerfile, { source_policy: "app/bad.json" });
  };
  const camel =
    '{"rules": [{"action": "DENY", "selector": {"identifier": "docker-image://*", "matchType": "EXACT"}}]}';
  assertFailedCleanly(
    await file(camel),
    /^error: source_policy: app\/bad\.json: rules\.0\.selector: there is no "matchType"; write match_type$/m,
  );
  assertFailedCleanly(
    await file('{"rules": [{'),
    /^error: source_policy: app\/bad\.json: is neither JSON nor YAML \(line 1, column \d+\); expected a source policy/m,
  );
  assertFailedCleanly(
    await put(dockerfile, { source_policy: "rules:\n  - action: DENY\n    selektor: 1\n" }),
    /^error: params\.source_policy\.rules\.0\.selector: expected a map, but it is missing\nparams\.source_policy\.rules\.0: there is no "selektor"/m,
  );
  assertFailedCleanly(
    await file("rules: []\nrules: []\n"),
    /source_policy: app\/bad\.json: is neither JSON nor YAML \(line 2, column 1\)/,
  );
  assertFailedCleanly(await file("rules: &rules [*rules]\n"), /^error: source_policy: app\/bad\.json: /m);
  assertFailedCleanly(await file(" \n"), /source_policy: app\/bad\.json: is empty; expected/);
  assertFailedCleanly(
    await file("package docker\n\ndefault allow := false\n"),
    /found a policy in Rego, which BuildKit can't read/,
  );
  assertFailedCleanly(
    await put(dockerfile, policy(deny("docker-image://alpine:3.22"))),
    /rules\.0\.selector\.identifier: expected the whole name, .* docker-image:\/\/docker\.io\/library\/alpine:3\.22, found/,
  );
  assertFailedCleanly(await file("[]"), /source_policy: app\/bad\.json: expected a map, found an empty list/);
  assertFailedCleanly(
    await put(dockerfile, { source_policy: "app/none.json" }),
    /source_policy: there is no file "app\/none\.json"/,
  );
  const constraint = { key: "image.resolvemode", condition: "MATCHES", value: "a(?=b)" };
  const patterns = policy(
    deny("*"),
    deny("(", { match_type: "REGEX" }),
    deny("*", { constraints: [constraint] }),
  );
  const go = "expected a regular expression as Go has them \\(RE2\\); Go says: ";
  const said = `^(error: )?%rules\\.1\\.selector\\.identifier: ${go}missing closing \\): "\\("\n%rules\\.2\\.selector\\.constraints\\.0\\.value: ${go}invalid or unsupported Perl syntax: "\\(\\?="$`;
  assertFailedCleanly(
    await put(dockerfile, patterns),
    new RegExp(said.replaceAll("%", "params\\.source_policy\\."), "m"),
  );
  assertFailedCleanly(
    await file(JSON.stringify(patterns.source_policy)),
    new RegExp(said.replaceAll("%", "source_policy: app/bad\\.json: "), "m"),
  );
  versionOf(await put(dockerfile, policy()));
});
