import assert from "node:assert/strict";
import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { assertFailedCleanly, runResource } from "../support/runs/resource.ts";
import { checkout } from "../support/runs/test-step.ts";
import { env, faultsOf, putOf, task, validate, web } from "../support/runs/validate.ts";

const faulty = join(checkout, "test/editor/faulty-pipeline.yml");

test("the examples and our own pipeline have no faults, and what was looked at is said", async () => {
  const files: string[] = [];
  for await (const name of glob(["examples/*.yml", "ci/*.yml"], { cwd: checkout }))
    files.push(join(checkout, name));
  const run = await runResource("validate", { args: files, env });
  assert.equal(run.status, 0, run.output);
  assert.equal(run.stdout, "");
  assert.match(run.stderr, /^\S+examples\/registry\.yml: 1 resource, 1 put, 1 get: no faults$/m);
  assert.match(run.stderr, /^\S+ci\/pipeline\.yml: 2 resources, 2 puts, 2 gets: no faults$/m);
});

test("every fault of a pipeline is told with file, line and column, and none where there is none", async () => {
  const run = await runResource("validate", { args: [faulty], env });
  assertFailedCleanly(run, /error: \d+ faults found\n$/);
  const found = [...run.stderr.matchAll(/^(\S+?):(\d+):(\d+): error: job|^(\S+?):(\d+):(\d+): error: res/gm)];
  const lines = new Set(found.map(([, , job, , , resource]) => Number(job ?? resource)));
  const text = await readFile(faulty, "utf8");
  const wrong = text.split("\n").flatMap((line, index) => (line.endsWith("# wrong") ? [index + 1] : []));
  assert.deepEqual([...lines], wrong, run.stderr);
  assert.ok(run.stderr.includes(`${faulty}:16:7: error: resource web: source: there is no "usrname"`));
});

test("every form of step is walked through", async () => {
  const put = "{ put: web, params: { contxt: repo } }";
  const forms = [
    `in_parallel: [${put}]`,
    `in_parallel: { limit: 1, steps: [${put}] }`,
    `do: [${put}]`,
    `aggregate: [${put}]`,
    `try: ${put}`,
    `do: [{ try: { in_parallel: { steps: [{ do: [${put}] }] } } }]`,
    ...["on_success", "on_failure", "on_abort", "on_error", "ensure"].map(
      (hook) => `get: repo\n    ${hook}: ${put}`,
    ),
    `across: [{ var: a, values: [1] }]\n    do: [${put}]`,
    "put: pushed\n    resource: web\n    params: { contxt: repo }",
    "put: web\n    attempts: 2\n    timeout: 1h\n    params: { contxt: repo }",
    "get: web\n    passed: [build]\n    params: { contxt: true }",
    "get: renamed\n    resource: web\n    params: { contxt: true }",
    "put: web\n    get_params: { contxt: true }",
  ];
  for (const form of forms) {
    const [fault = "", ...more] = await faultsOf(`${web}jobs:\n- name: build\n  plan:\n  - ${form}\n`);
    assert.match(fault, /job build, .*there is no (param )?"contxt"/, form);
    assert.deepEqual(more, [], form);
  }
  for (const hook of ["on_success", "on_failure", "on_abort", "on_error", "ensure"]) {
    const [fault = ""] = await faultsOf(`${web}jobs:\n- name: build\n  plan: []\n  ${hook}: ${put}\n`);
    assert.match(fault, /^8:\d+: job build, put web: params: there is no param "contxt"/, hook);
  }
});

/** A pipeline with one step. */
function step(text: string): string {
  return `${web}jobs:\n- name: build\n  plan:\n  - ${text}\n`;
}

test("what a put, a task or a source refuses only after reading it is told too", async () => {
  const [tags] = await faultsOf(
    step("{ put: web, params: { context: ., tags: [a/b], shm_size: 010, progress: plain } }"),
  );
  assert.match(tags ?? "", /^8:46: job build, put web: params\.tags/);
  const [target] = await faultsOf(step("{ put: web, params: { additional_targets: [image] } }"));
  assert.match(target ?? "", /params\.additional_targets: the folder of "image"/);
  const [version] = await faultsOf(step("{ put: web, params: { version: one } }"));
  assert.match(version ?? "", /params\.version/);
  const [source] = await faultsOf(web.replace("registry.example/web", "registry.example/Web"));
  assert.match(source ?? "", /^4:43: resource web: source\.repository/);
});

test("a path that begins with none of the inputs that a put lists is told", async () => {
  const wrong =
    "{ context: repo, dockerfile: Dockerfile, tags_file: ./naming/tag, secrets: { a: { file: keys/a } }, contexts: { b: base }, source_policy: rules/all.json }";
  const found = await faultsOf(putOf(wrong));
  assert.deepEqual(
    found.map((fault) => fault.replace(/^\d+:\d+: job build, put web: (.*) is not among.*/, "$1")),
    [
      'params.dockerfile: "Dockerfile"',
      'params.tags_file: "naming"',
      'params.secrets.a: "keys"',
      'params.contexts.b: "base"',
      'params.source_policy: "rules"',
    ],
  );
  for (const text of ['{"rules": [{"action": "DENY"}]}', "rules: [action: DENY]"]) {
    const [rule] = await faultsOf(putOf(`{ context: repo, source_policy: '${text}' }`));
    assert.match(
      rule ?? "",
      /^\d+:\d+: .*params\.source_policy\.rules\.0\.selector: expected a map, but it is missing$/,
    );
  }
  assert.match(found[0] ?? "", /; write repo\/Dockerfile$/);
  assert.match(found[2] ?? "", /; write inputs: \[repo, keys\], or another path$/);
  const images = "{ context: repo, image_args: { a: 'debian:12' }, contexts: { c: 'debian:12' } }";
  assert.deepEqual(
    (await faultsOf(putOf(images))).map((fault) => fault.replace(/^.* inputs; /, "")),
    [
      'an image of a registry is not an input: give it under "build_args" instead, or name it in FROM',
      "an image of a registry is written docker-image://debian:12",
    ],
  );
  const right = [
    putOf(wrong, "inputs: all"),
    putOf(wrong, "inputs: detect"),
    putOf(wrong, "no_get: true"),
    putOf(wrong, "inputs: [repo, ((other))]"),
    putOf("{ context: ((folder))/src, dockerfile: repo/Dockerfile, image_args: { base: repo/base.tar } }"),
    putOf("{ context: 'https://git.example/repo.git', dockerfile: build/Dockerfile }"),
    putOf("{ contexts: { alpine: 'docker-image://alpine:3' }, build_args_file: ./repo/args }"),
  ];
  for (const pipeline of right) {
    const run = await validate(pipeline);
    assert.equal(run.status, 0, `${pipeline}\n${run.output}`);
  }
});

test("a task with our image is held against its environment, with the step's params over the config's", async () => {
  const good = "{ CONTEXT: repo, HTTP_PROXY: x, NO_PROXY: y, BUILD_ARG_A: , DEPTH: 3, DATA: { a: b } }";
  const taken = await validate(task(good));
  assert.equal(taken.status, 0, taken.output);
  assert.match(taken.stderr, /^-: 1 task: no faults$/m);
  const [overridden] = await faultsOf(task("{ UNPACK_ROOTFS: true }", "params: { UNPACK_ROOTFS: perhaps }"));
  assert.match(overridden ?? "", /^5:15: job build, task build: UNPACK_ROOTFS: expected true or false/);
  const [typed] = await faultsOf(task("{ build_args: [A=1] }"));
  assert.match(typed ?? "", /BUILD_ARGS: expected a string or a map; found a list/);
  const [put] = await faultsOf(task("{ tags: latest }"));
  assert.match(put ?? "", /the task doesn't read tags; only a put has such a param/);
  const [misspelt] = await faultsOf(task("{ DOCKER_FILE: x }"));
  assert.match(misspelt ?? "", /the task doesn't read DOCKER_FILE; did you mean DOCKERFILE\?/);
  const [foreign] = await faultsOf(task("{ REPOSITORY: registry.example/web }"));
  assert.match(
    foreign ?? "",
    /the task doesn't read REPOSITORY; the task only builds: push image\/image\.tar/,
  );
  const spelt = await validate(task("{ CONTEXT: repo, target: app, UNPACKROOTFS: true }"));
  assert.equal(spelt.status, 0, spelt.output);
  const [sandbox] = await faultsOf(task("{ SANDBOX: docker }"));
  assert.match(sandbox ?? "", /^8:17: job build, task build: (params\.)?SANDBOX: expected/);
  const [call] = await faultsOf(task("{ CALL: lint }"));
  assert.match(
    call ?? "",
    /^8:17: job build, task build: (params\.)?CALL: expected one of build, check, outline, targets/,
  );
  const [registries] = await faultsOf(task("{ REGISTRIES: '{registry.example: {user: x}}' }"));
  assert.match(registries ?? "", /REGISTRIES.registry\.example: there is no "user"/);
  const [certificate] = await faultsOf(task("{ REGISTRIES: '{registry.example: {ca_certs: x}}' }"));
  assert.match(certificate ?? "", /REGISTRIES\.registry\.example\.ca_certs: expected PEM certificates/);
  const together =
    "{ TARGET: a, TARGET_FILE: b, ADDITIONAL_TARGETS: cache, SANDBOX: docker, REGISTRIES: '[' }";
  assert.deepEqual(
    (await faultsOf(task(together))).map((fault) => fault.replace(/^\d+:\d+: job build, task build: /, "")),
    [
      "TARGET and TARGET_FILE are both given: remove one",
      'ADDITIONAL_TARGETS: the folder of "cache" would take the place of the task\'s layer cache; give the stage another name',
      'SANDBOX: expected one of auto, none, gvisor, found "docker"',
      "REGISTRIES: expected YAML or JSON, such as {registry.example: {username: …, password: …}}",
    ],
  );
  const [tracing] = await faultsOf(task("{ TRACING: '{endpoint: otel.example}' }"));
  assert.match(tracing ?? "", /TRACING\.endpoint: expected a URL that begins with http/);
  const other = await validate(task("{ UNPACK_ROOTFS: perhaps }").replace("path: build", "path: sh"));
  assertFailedCleanly(other, /nothing in it is for this resource/);
});

test("anchors, merge keys and a type's defaults are followed", async () => {
  const pipeline = `shared: &shared
  context: repo
  platforms: linux/amd64
resource_types:
- name: builder
  type: registry-image
  source: { repository: registry.example/ci/oci-build-resource, tag: "1" }
  defaults: { repository: registry.example/default, usrname: me }
resources:
- { name: web, type: builder }
jobs:
- name: build
  plan:
  - put: web
    params:
      <<: *shared
      pull: 3
  - put: web
    params: *shared
`;
  assert.deepEqual(
    (await faultsOf(pipeline)).map((fault) => fault.replace(/: (params|source).*/, "")),
    ["3:3: job build, put web", "8:53: resource web", "17:7: job build, put web"],
  );
});

/** A pipeline of a resource with this source, and a put with these params. */
function pipelineWith(source: object, params: object): string {
  return JSON.stringify({
    resource_types: [{ name: "oci-build", type: "registry-image", source: {} }],
    resources: [{ name: "web", type: "oci-build", source }],
    jobs: [{ name: "build", plan: [{ put: "web", params }] }],
  });
}

test("what a put refuses for several params or for its source is told too, all at once and as out tells it", async () => {
  const source = {
    repository: "registry.example/web",
    cache: true,
    ca_certs: "none",
    buildkit_config: "debug = ",
    registries: { "base.example": { client_cert: "x" } },
  };
  const params = {
    target: "a",
    target_file: "repo/target",
    version: "1.0.0",
    version_file: "repo/version",
    tags: ["ok", "buildcache", `build-${"a".repeat(64)}`],
    also: ["registry.example/web"],
    contexts: { one: "hg://x", "a/B": "repo" },
    ssh: { default: { key: "secret" } },
    buildkit_extra_config: "debug = ",
    network: "host",
  };
  const faults = (await faultsOf(pipelineWith(source, params))).map((fault) =>
    fault.replace(/^\d+:\d+: (resource web|job build, put web): /, ""),
  );
  assert.equal(faults.length, 13, faults.join("\n"));
  const run = await runResource("out", { stdin: { source, params }, args: ["/nonexistent"], env });
  assertFailedCleanly(run, /both given/);
  assert.deepEqual(run.stderr.replace("error: ", "").trimEnd().split("\n").toSorted(), faults.toSorted());
  // Variables are unknown, and so is what depends on them.
  const unknown = pipelineWith(
    { repository: "((registry))/web", cache: true, ca_certs: "((ca))", buildkit_config: "((toml))" },
    {
      target: "((target))",
      target_file: "repo/target",
      version: "((version))",
      version_file: "repo/version",
      tags: ["((tag))", "v((number))"],
      also: ["registry.example/web"],
      ssh: { default: { key: "((key))" } },
      buildkit_extra_config: "((.:toml))",
      network: "((network))",
    },
  );
  const taken = await validate(unknown);
  assert.equal(taken.status, 0, taken.output);
});

test("what has no effect is warned of, with file and line, and is no fault", async () => {
  const pipeline = `${web.replace("registry.example/web", "registry.example/web, keep: {}")}jobs:
- name: build
  plan:
  - put: web
    params: { context: repo, tag_prefix: v, variant: alpine, tags: [one], expand: true }
  - put: web
    params: { context: repo, tag_prefix: v, version: ((version)), variant: ((variant)) }
  - put: web
    params: { context: repo, tag_prefix: v, version_file: repo/version, variant: alpine }
`;
  const run = await validate(pipeline);
  assert.equal(run.status, 0, run.output);
  assert.deepEqual(
    run.stderr
      .split("\n")
      .flatMap(
        (line) => /^-:(\d+):\d+: warning: .*?: (\S+) has no effect/.exec(line)?.slice(1).join(" ") ?? [],
      ),
    ["4 source.keep", "9 params.tag_prefix", "9 params.expand"],
  );
  assert.match(run.stderr, /^-: 1 resource, 3 puts: no faults$/m);
});

const inSource = (source: string, params: string) =>
  `${web.replace("registry.example/web", `registry.example/web, ${source}`)}jobs:
- name: build
  plan:
  - put: web
    params: { context: repo, ${params} }
`;

test("what a gVisor sandbox can't give is refused or warned of, where the source asks for one", async () => {
  const insecure = "allow: [security.insecure]";
  const [isolated] = await faultsOf(inSource("sandbox: gvisor", "network: none"));
  assert.match(isolated ?? "", /network: "none" isn't possible with "sandbox: gvisor"/);
  const wanted = await validate(inSource("sandbox: gvisor", insecure));
  assert.equal(wanted.status, 0, wanted.output);
  assert.match(
    wanted.stderr,
    /^-:9:\d+: warning: .*allow: security\.insecure gives a RUN no rights .* in a gVisor sandbox/m,
  );
  for (const source of [
    "sandbox: auto",
    "sandbox: ((sandbox))",
    "buildkit: { address: tcp://a.example:1 }",
  ]) {
    const other = await validate(inSource(source, insecure));
    assert.equal(other.status, 0, other.output);
    assert.doesNotMatch(other.stderr, /warning/, source);
  }
});

test("options that have no effect are warned of by their place, in a put and in a task", async () => {
  const options = 'options: { memory: 64m, hostname: web, memry: 1, "vcs:source": x }';
  const put = await validate(inSource("sandbox: gvisor", options));
  assert.equal(put.status, 0, put.output);
  assert.deepEqual(
    put.stderr.match(/^-:9:\d+: warning: .*/gm)?.map((line) => line.replace(/^.*?put web: /, "")),
    [
      "options.memory: it has no effect here, because BuildKit runs in a gVisor sandbox, where it has no control groups; docs/without-privileges.md says where it works",
      'options.memry: BuildKit\'s Dockerfile frontend has no such option and ignores it; did you mean "memory"?',
    ],
  );
  const ofTask = await validate(
    task("{ SANDBOX: gvisor, BUILDKIT_OPTION_memory: 64m, BUILDKIT_OPTIONS: 'memry=1,hostname=web' }"),
  );
  assert.equal(ofTask.status, 0, ofTask.output);
  assert.match(ofTask.stderr, /warning: .*BUILDKIT_OPTION_memory: it has no effect here/);
  assert.match(ofTask.stderr, /warning: .*BUILDKIT_OPTIONS, memry: BuildKit's Dockerfile frontend/);
  assert.equal(ofTask.stderr.match(/warning:/g)?.length, 2, ofTask.stderr);
  for (const other of [
    "options: { memry: 1 }, build_args: { BUILDKIT_SYNTAX: registry.example/frontend }",
    'options: { memry: 1 }, dockerfile_inline: "# syntax=registry.example/frontend"',
    "options: ((options))",
  ]) {
    const quiet = await validate(inSource("sandbox: auto", other));
    assert.equal(quiet.status, 0, quiet.output);
    assert.doesNotMatch(quiet.stderr, /warning/, other);
  }
});

test("mirrors that a BuildKit elsewhere doesn't use are warned of where they are", async () => {
  const source =
    "buildkit: { address: tcp://a.example:1 }, registries: { b.example: { mirrors: [c.example] } }";
  const run = await validate(inSource(source, "registry_mirrors: [c.example]"));
  assert.equal(run.status, 0, run.output);
  assert.match(run.stderr, /^-:4:\d+: warning: resource web: mirrors of b\.example: not used/m);
  assert.match(run.stderr, /^-:9:\d+: warning: job build, put web: registry_mirrors: not used/m);
});

test("--help says what validate checks, and how", async () => {
  const run = await validate("", ["--help"]);
  assert.equal(run.status, 0, run.output);
  assert.equal(run.stdout, "");
  assert.match(run.stderr, /^usage: validate \[--type NAME\]/);
});

test("what can't be checked is refused: no YAML, no file, nothing of ours, an unknown option", async () => {
  assertFailedCleanly(await validate("a: [1\nb: 2\n"), /-:\d+:\d+: this is not YAML/);
  assertFailedCleanly(await validate("", ["/nonexistent.yml"]), /\/nonexistent\.yml can't be read: ENOENT/);
  assertFailedCleanly(await validate("jobs: []\n"), /nothing in it is for this resource.*--type NAME/);
  assertFailedCleanly(await validate("", ["--tpye", "x"]), /there is no option "--tpye"/);
  assertFailedCleanly(await validate("", ["--type"]), /--type: expected the name/);
  const bomb = `a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n${Array.from(
    { length: 9 },
    (_, index) =>
      `a${index + 1}: &a${index + 1} [${Array.from({ length: 10 }, () => `*a${index}`).join(", ")}]\n`,
  ).join("")}`;
  assertFailedCleanly(await validate(bomb), /has over \d+ values/);
  const endless = "resources: []\njobs:\n  - &job { plan: [*job] }\n";
  assertFailedCleanly(
    await validate(endless),
    /-:3:\d+: this is nested over 100 levels deep, or contains itself by an alias$/m,
  );
  for (const depth of [200, 2000, 20_000])
    assertFailedCleanly(
      await validate(`a: ${"[".repeat(depth)}${"]".repeat(depth)}`),
      /-:1:\d+: this is nested over 100 levels deep, or contains itself by an alias$/m,
    );
});

test("--type names a resource type that doesn't show that it is ours", async () => {
  const pipeline = `resource_types: [{ name: builder, type: registry-image, source: { repository: mirror/of-it } }]
resources: [{ name: web, type: builder, source: { repo: x } }]
`;
  assertFailedCleanly(await validate(pipeline), /nothing in it is for this resource/);
  await using folder = await createPrivateFolder("test-validate");
  const run = await runResource("validate", {
    stdin: pipeline,
    args: ["--type", "builder"],
    env,
    cwd: folder.path,
  });
  assertFailedCleanly(run, /^-:2:51: error: resource web: source: there is no "repo"/m);
});
