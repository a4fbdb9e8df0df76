import assert from "node:assert/strict";
import { test } from "node:test";
import { faultsOf, putOf, task, types, validate, web } from "../support/runs/validate.ts";

test("names that YAML takes for booleans are told as they were written", async () => {
  const [fault, ...more] = await faultsOf(
    `${web}jobs:\n- name: build\n  plan:\n  - put: web\n    params: { build_args: { N: x } }\n`,
  );
  assert.deepEqual(more, []);
  assert.match(fault ?? "", /params\.build_args: YAML reads the name N as false: put it in quotes/);
});

test("what YAML makes another text of is warned of, with the text that becomes of it", async () => {
  const values = [
    "{ V: 1.10, W: yes, M: 0755, E: 1e3, O: 1_000, H: 0x1F, B: 12345678901234567890, P: +1, T: True }",
    '{ A: 1, B: 1.1, C: true, D: "1.10", E: 2024-01-02, F: 12:30, G: ((version)), H: . }',
  ];
  const run = await validate(`${web}jobs:
- name: build
  plan:
  - put: web
    params:
      build_args: ${values[0]}
      labels: ${values[1]}
      tags: [1, 010, on]
      shm_size: 0x1F
      unpack_rootfs: yes
      secrets: { a: { text: 007 } }
      BUILDKIT_OPTION_hostname: 1.20
    get_params: { image_tar: no }
  - task: build
    config:
      image_resource: { type: registry-image, source: { repository: a/oci-build-resource } }
      params: { BUILD_ARG_V: 1.10, UNPACK_ROOTFS: yes, TARGET: 2.0 }
      run: { path: build }
`);
  assert.equal(run.status, 0, run.output);
  const warnings = run.stderr.split("\n").filter((line) => line.includes("warning: "));
  const changes = Array.from(
    warnings,
    (line) =>
      /^-:(\d+):\d+: warning: job build, (.*): put it in quotes$/.exec(line)?.slice(1).join(" ") ?? line,
  );
  const args = ["V: YAML reads 1.10 as 1.1", "W: YAML reads yes as true", "M: YAML reads 0755 as 493"].concat(
    ["E: YAML reads 1e3 as 1000", "O: YAML reads 1_000 as 1000", "H: YAML reads 0x1F as 31"],
    ["B: YAML reads 12345678901234567890 as 12345678901234567000", "P: YAML reads +1 as 1"],
    ["T: YAML reads True as true"],
  );
  assert.deepEqual(changes, [
    ...args.map((change) => `10 put web: params.build_args.${change}`),
    "12 put web: params.tags.1: YAML reads 010 as 8",
    "12 put web: params.tags.2: YAML reads on as true",
    // What may be a secret is not shown.
    "15 put web: params.secrets.a.text: YAML reads what is written here as something else",
    "16 put web: params.BUILDKIT_OPTION_hostname: YAML reads 1.20 as 1.2",
    "21 task build: BUILD_ARG_V: YAML reads 1.10 as 1.1",
    "21 task build: TARGET: YAML reads 2.0 as 2",
  ]);
});

test("faults of a put's get_params, and of a task's options, are told in their own words", async () => {
  const got = putOf("{ context: repo }", "get_params: { contxt: x, platform: linux/amd46 }");
  assert.deepEqual(
    (await faultsOf(got)).map((fault) => fault.replace(/^\d+:\d+: /, "")),
    [
      'job build, put web: get_params: there is no "contxt"',
      'job build, put web: get_params.platform: "linux/amd46": there is no architecture "amd46"; did you mean "amd64"?',
    ],
  );
  const names = ["target", "platform", "force-network-mode", "cache-from", "label:x", "no-cache"];
  const options = names.map((name) => `"BUILDKIT_OPTION_${name}": x`);
  assert.deepEqual(
    (await faultsOf(task(`{ ${options.join(", ")} }`))).map((fault) => fault.replace(/^.*; /, "")),
    [
      "write TARGET, or ADDITIONAL_TARGETS",
      "write IMAGE_PLATFORM",
      'only a put can, with its param "network"',
      "give the task a cache: caches: [{path: cache}]",
      "write LABEL_*",
      'only a put can, with its param "no_cache"',
    ],
  );
});

test("a variable may stand for anything, and hides no fault beside it", async () => {
  const pipeline = `${types}resources:
- name: web
  type: oci-build
  source:
    repository: ((registry.host))/shop/((name))
    username: ((registry.username))
    password: ((registry.password))
    insecure: ((insecure))
    timeouts: { stall: ((stall)) }
    buildkit: { address: ((address)), tls: ((tls)) }
    cache: { ref: ((cache)) }
    docker_config: ((config))
    registries: { ((other)): { mirrors: ((mirrors)) } }
    aws_role_arns: ((roles))
- name: all
  type: oci-build
  source: ((source))
jobs:
- name: build
  plan:
  - put: web
    params:
      context: ((.:folder))/src
      platforms: ((platforms))
      version: ((version))
      tags: [((tag)), "v((number))"]
      build_args: { A: ((a)), "((b))": 1 }
      secrets: { one: ((secret)), two: { text: ((text)) } }
      source_date_epoch: ((epoch))
      compression: { type: ((type)) }
      UNPACK_ROOTFS: ((unpack))
  - put: all
    params: ((params))
  - put: all
    params: &task
      CONTEXT: ((folder))
      IMAGE_PLATFORM: ((platforms))
      BUILD_ARGS: ((args))
      LABELS: { team: ((team)) }
      BUILDKIT_ADD_HOSTS: "db=((address))"
      BUILDKIT_SSH: ((ssh))
      BUILDKIT_OPTIONS: { hostname: ((host)) }
      BUILDKIT_OPTION_memory: ((memory))
      SOURCE_POLICY: ((policy))
      UNPACK_ROOTFS: ((unpack))
  - task: ours
    config:
      image_resource: { type: registry-image, source: { repository: a/oci-build-resource } }
      params: { <<: *task, TRACING: ((tracing)), REGISTRIES: ((registries)), CALL: ((call)), SANDBOX: ((box)) }
      run: { path: build }
`;
  const taken = await validate(pipeline);
  assert.equal(taken.status, 0, taken.output);
  const found = await faultsOf(
    pipeline.replace("    username:", "    usrname:").replace("tags: [", "tagz: ["),
  );
  assert.equal(found.length, 2, found.join("\n"));
  assert.match(found[0] ?? "", /there is no "usrname"; did you mean "username"/);
  assert.match(found[1] ?? "", /there is no param "tagz"; did you mean "tags"/);
  const beside = await faultsOf(
    pipeline.replace("((memory))", "((memory))\n      BUILDKIT_OPTION_cpuquota: 0.5"),
  );
  assert.equal(beside.length, 2, beside.join("\n"));
  for (const fault of beside) assert.match(fault, /cpuquota: expected microseconds/);
});

/** A policy with two odd rules, the second of which has a regular expression. */
const rules = (identifier: string) =>
  `{ rules: [{ selector: { identifier: "docker-image://alpine:*" } }, { action: DENY, selector: { match_type: REGEX, identifier: "${identifier}" } }] }`;

test("the rules of a source policy are looked into as by a step, in all of its forms and in a task", async () => {
  const odd = "^docker-image://alpine:";
  const text = `'${rules(odd)}'`;
  const run = await validate(`${web}jobs:
- name: build
  plan:
  - put: web
    params: { context: repo, source_policy: ${rules(odd)} }
  - put: web
    params: { context: repo, source_policy: ${text} }
  - task: ours
    config:
      image_resource: { type: registry-image, source: { repository: a/oci-build-resource } }
      params: { CONTEXT: repo, SOURCE_POLICY: ${rules(odd)} }
      run: { path: build }
`);
  assert.equal(run.status, 0, run.output);
  const found = run.stderr.split("\n").flatMap((line) => /warning: (.*)$/.exec(line)?.slice(1) ?? []);
  const doubts = [
    "rules.0: there is no action, which BuildKit takes for ALLOW: write ALLOW, DENY or CONVERT",
    "rules.0: docker-image://alpine:* is for registries with such a name; for images of Docker Hub write docker-image://docker.io/library/alpine:*",
    `rules.1: hardly any image matches ${odd}: BuildKit writes the whole name, as in docker-image://docker.io/library/alpine:…`,
  ];
  const places = [
    "put web: params.source_policy",
    "put web: params.source_policy",
    "task ours: SOURCE_POLICY",
  ];
  assert.deepEqual(
    found.toSorted(),
    places.flatMap((place) => doubts.map((doubt) => `job build, ${place}: ${doubt}`)).toSorted(),
  );
  for (const policy of [rules("("), `'${rules("(")}'`]) {
    const [fault, ...more] = await faultsOf(putOf(`{ context: repo, source_policy: ${policy} }`));
    assert.deepEqual(more, []);
    assert.match(
      fault ?? "",
      /params\.source_policy\.rules\.1\.selector\.identifier: expected a regular expression as Go has them \(RE2\); Go says: missing closing/,
    );
  }
});

test("what is written for another tool than Concourse is told, and no value with it", async () => {
  const run =
    await validate(`${web.replace("registry.example/web", "registry.example/web, username: {{user}}")}jobs:
- name: build
  plan:
  - put: web
    params:
      context: (( grab meta.folder ))
      build_args: { A: "\${{ github.sha }}", B: "$CI_COMMIT_SHA", C: "{{branch}}", D: ((own)), E: "$BUILD_ID \${HOME} $((1 + 2))" }
      secrets: { npm: { text: (( token )) } }
      dockerfile_inline: "RUN echo \${{ (( x )) }}"
  - task: build
    config:
      image_resource: { type: registry-image, source: { repository: a/oci-build-resource } }
      params: { CONTEXT: repo, BUILDKIT_SECRETTEXT_npm: (( token )) }
      run: { path: build }
`);
  assert.equal(run.status, 1, run.output);
  const told = run.stderr.split("\n").flatMap((line) => {
    const [, number, kind, what] = /^-:(\d+):\d+: (error|warning): (.*)$/.exec(line) ?? [];
    return what === undefined ? [] : [`${number} ${kind} ${what.replace(/^(resource|job) [^:]*: /, "")}`];
  });
  const asText = "on as text";
  assert.deepEqual(told, [
    "4 error source.username: {{name}} is not a Concourse variable; YAML reads it as a map: write ((name)), or give validate the file that another tool makes of this one",
    `10 warning params.context: Concourse passes (( … )), an expression of spruce, ${asText}: give validate the file that spruce makes of this one`,
    `11 warning params.build_args.A: Concourse passes \${{ … }}, an expression of GitHub Actions, ${asText}: write a variable, ((name))`,
    `11 warning params.build_args.B: Concourse passes $CI_…, a variable of GitLab CI, ${asText}: write a variable, ((name))`,
    `11 warning params.build_args.C: Concourse passes {{name}} ${asText}: write ((name))`,
    `12 warning params.secrets.npm.text: Concourse passes (( name )) ${asText}, because of its blanks: write ((name))`,
    `17 warning BUILDKIT_SECRETTEXT_npm: Concourse passes (( name )) ${asText}, because of its blanks: write ((name))`,
  ]);
});

test("a template of ytt is told as one, by its first line", async () => {
  const run = await validate(`#@ load("@ytt:data", "data")\n${web}jobs:
- name: build
  plan:
  - put: web
    params: { context: repo, tags: [a] } #@ data.values.tags
`);
  assert.equal(run.status, 0, run.output);
  assert.match(
    run.stderr,
    /^-:1:1: warning: "#@" is an expression of ytt, and a comment in YAML: give validate/m,
  );
});

/** What is told of a pipeline, each with its line and without its step. */
async function toldOf(pipeline: string): Promise<readonly string[]> {
  const run = await validate(pipeline);
  return run.stderr.split("\n").flatMap((line) => {
    const [, number, what] =
      /^-:(\d+):\d+: (?:error|warning): (?:(?:resource|job) [^:]*: )?(.*)$/.exec(line) ?? [];
    return what === undefined ? [] : [`${number} ${what}`];
  });
}

const notVariable =
  "{{name}} is not a Concourse variable; YAML reads it as a map: write ((name)), or give validate the file that another tool makes of this one";

test("{{name}} is refused as a program's text too", async () => {
  assert.deepEqual(await toldOf(putOf("{ dockerfile_inline: {{dockerfile}} }")), [
    `10 params.dockerfile_inline: ${notVariable}`,
  ]);
});

test("a task's params are told by the names that its author wrote", async () => {
  const params =
    "{ CONTEXT: {{folder}}, BUILD_ARG_a: {{a}}, BUILD_ARGS: { b: {{b}}, c: 1.10 }, IMAGE_PLATFORM: [linux/amd64, {{c}}], other: {{d}}, LABELS: { N: x } }";
  assert.deepEqual(
    (await toldOf(task(params))).map((line) => line.replace(`: ${notVariable}`, "").replace(/^\d+ /, "")),
    [
      "CONTEXT",
      "BUILD_ARG_a",
      "BUILD_ARGS, b",
      "IMAGE_PLATFORM, item 2",
      "other",
      "LABELS: YAML reads the name N as false: put it in quotes",
      // Warnings come after errors.
      "BUILD_ARGS, c: YAML reads 1.10 as 1.1: put it in quotes",
    ],
  );
});

test("what several steps take from one place is told once", async () => {
  const pipeline = `${types.replace("source: {", "defaults: { username: {{user}}, password: (( token )) }, source: {")}resources:
- { name: a, type: oci-build, source: { repository: registry.example/a } }
- { name: b, type: oci-build, source: { repository: registry.example/b } }
jobs:
- name: build
  plan:
  - { put: a, params: &params { build_args: { A: "{{a}}", V: 1.10 } } }
  - { put: b, params: *params }
`;
  assert.deepEqual(
    (await toldOf(pipeline)).map((line) => line.slice(0, line.indexOf(":"))),
    ["2 source.username", "2 source.password", "9 params.build_args.A", "9 params.build_args.V"],
  );
});

test("texts that only resemble what other tools read are passed on without a word", async () => {
  const texts = [
    "{{.Version}}",
    "{{ json .Config }}",
    "{{ name }}",
    "((file a bug at x)) ",
    "((keys and locks)) and ((more))",
    "((grab a coffee)) ",
    "$((param + 1))",
  ];
  const labels = texts.map((text, index) => `l${index}: ${JSON.stringify(text)}`);
  assert.deepEqual(await toldOf(putOf(`{ labels: { ${labels.join(", ")} } }`)), []);
});

test("each form of an expression of spruce is told", async () => {
  const expressions = [
    "(( grab meta.folder ))",
    "((grab folder))",
    '(( concat "a (b) " meta.x ))',
    '(( vault $PREFIX "x:y" ))',
    '(( param "say (which)" ))',
    '(( grab meta.x || "none" ))',
    'v(( calc "1 + 2" ))',
  ];
  const labels = expressions.map((text, index) => `l${index}: ${JSON.stringify(text)}`);
  const told = await toldOf(putOf(`{ labels: { ${labels.join(", ")} } }`));
  assert.deepEqual(
    told.map((line) => line.slice(0, line.indexOf(","))),
    expressions.map((_, index) => `10 params.labels.l${index}: Concourse passes (( … ))`),
  );
});

test("comments and texts that begin with #@ are not taken for ytt", async () => {
  const comments = [
    "#@todo: pin this",
    "#@ maintainer",
    "#@ if in doubt, ask",
    "#@team/x",
    "#@ end of the list",
  ];
  const text = [...comments, "#@ end", "x: #@ data.values.x", "#@ load(x)"];
  const pipeline = putOf(`\n      dockerfile_inline: |\n${text.map((line) => `        ${line}\n`).join("")}`);
  assert.deepEqual(await toldOf(`${comments.join("\n")}\n${pipeline}# x: #@ data.values.x\n`), []);
});

test("each form of an expression of ytt is told", async () => {
  const lines = [
    "#@ load('x.star', 'f')",
    "#@ if x == 1:",
    "#@ if/end x:",
    "#@ for a in b:",
    "#@ def f(a):",
  ].concat(
    [
      "#@ end",
      "#@ else:",
      "#@ elif y:",
      "#@ data.values.x",
      "#@ name = f(1)",
      "#@data/values",
      "#@overlay/remove",
    ],
    [
      "#@schema/type any=True",
      "#@/",
      "a: #@ name",
      "a: #@ f(1)",
      "- #@ name",
      'a: #@ "v" + version',
      "a: [b] #@ data.values.x",
    ],
  );
  for (const line of lines) {
    const told = await toldOf(`${putOf("{ context: repo }")}x:\n${line}\n`);
    assert.match(told[0] ?? "", /^12 "#@" is an expression of ytt/, line);
  }
});

test("a job and a resource without a name are told as such, and a name of digits by its digits", async () => {
  const run = await validate(`${web}- { type: oci-build, source: { repo: x } }
jobs:
- plan: [{ put: web, params: { contxt: x } }]
- { name: 0755, plan: [{ put: web, params: { contxt: x } }] }
`);
  const subjects = run.stderr
    .split("\n")
    .flatMap((line) => /error: (.*?): (?:source|params)/.exec(line)?.[1] ?? []);
  assert.deepEqual(subjects, [
    "a resource without a name",
    "a job without a name, put web",
    "job 0755, put web",
  ]);
});
