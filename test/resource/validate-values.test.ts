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
    return what === undefined ? [] : [`${number} ${kind} ${what.replace(/^.*?: (?=source|params)/, "")}`];
  });
  const asText = "on as text";
  assert.deepEqual(told, [
    "4 error source.username: {{name}} is no variable of Concourse, which reads it as a map: write ((name)), or give validate the file that another tool makes of this one",
    `10 warning params.context: Concourse passes (( … )), an expression of spruce, ${asText}: give validate the file that spruce makes of this one`,
    `11 warning params.build_args.A: Concourse passes \${{ … }}, an expression of GitHub Actions, ${asText}: write a variable, ((name))`,
    `11 warning params.build_args.B: Concourse passes $CI_…, a variable of GitLab CI, ${asText}: write a variable, ((name))`,
    `11 warning params.build_args.C: Concourse passes {{name}} ${asText}: write ((name))`,
    `12 warning params.secrets.npm.text: Concourse passes (( name )) ${asText}, because of its blanks: write ((name))`,
    `17 warning params.BUILDKIT_SECRETTEXT_npm: Concourse passes (( name )) ${asText}, because of its blanks: write ((name))`,
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
