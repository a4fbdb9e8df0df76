/** Mistakes, and what each is answered with. An answer that ends with " …" is the beginning of what is found. */
export type Rows = readonly (readonly [mistake: unknown, answer: string])[];

const repository = "registry.example/web";

/** Mistakes in a put's params. */
export const putMistakes: Rows = [
  [
    { cacheFrom: "a", snapshotMode: "redo", tarPath: "a" },
    [
      'params: there is no param "cacheFrom"; the layer cache belongs in the source: cache: true',
      'params: there is no param "snapshotMode"; remove it: BuildKit always looks at whole files',
      'params: there is no param "tarPath"; remove it: the get delivers image.tar',
    ].join("\n"),
  ],
  [
    { "kaniko-dir": "/k", "log-format": "text", "ignore-var-run": true },
    [
      'params: there is no param "kaniko-dir"; remove it: BuildKit keeps its files on the worker\'s disk',
      'params: there is no param "log-format"; remove it: the log has one form; progress: plain shows all that BuildKit does',
      'params: there is no param "ignore-var-run"; remove it: nothing of the step\'s own files gets into the image',
    ].join("\n"),
  ],
  [
    { aws_session_token: "a" },
    'params: there is no param "aws_session_token"; it belongs in the resource\'s source, as a ((variable)) of a credential manager; with credentials that a step of the job makes, build with the task and push with the registry-image resource',
  ],
  [
    { ssh: ["default"], secrets: "token=abc" },
    [
      "params.secrets: expected a map, found a string; a map is written {name: value}, or with one name: value a line",
      "params.ssh: expected a map, found a list; a map is written {name: value}, or with one name: value a line",
    ].join("\n"),
  ],
  [
    { tags: ["localhost:5000/team/app:v1.2", "team/app"] },
    [
      'params.tags: "localhost:5000/team/app:v1.2" is not a tag; expected up to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"; a tag stands without its repository: v1.2',
      'params.tags: "team/app" is not a tag; expected up to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"',
    ].join("\n"),
  ],
  [{ contxt: "repo" }, 'params: there is no param "contxt"; did you mean "context"?'],
  [{ build: "repo" }, 'params: there is no param "build"; write context: the folder to build'],
  [
    { build: "repo", cache: true },
    'params: there is no param "build"; write context: the folder to build\nparams: there is no param "cache"; the layer cache belongs in the source: cache: true',
  ],
  [
    { cache_from: ["base"] },
    'params: there is no param "cache_from"; the layer cache belongs in the source: cache: true',
  ],
  [
    { "cache-to": "type=inline" },
    'params: there is no param "cache-to"; the layer cache belongs in the source: cache: true',
  ],
  [
    { load_bases: ["base"] },
    'params: there is no param "load_bases"; write image_args: {base: folder}, and FROM $base in the Dockerfile',
  ],
  [
    { image: "image/image.tar" },
    'params: there is no param "image"; remove it: this resource pushes what it builds; for an image that is built elsewhere use the registry-image resource',
  ],
  [
    { additional_tags: "repo/tags" },
    'params: there is no param "additional_tags"; write tags_file for a file with tags, or tags: [one, two] for the tags themselves',
  ],
  [
    { tag: "version/number" },
    'params: there is no param "tag"; tags is a list: write tags: [latest], or tags_file for a file that holds the tag',
  ],
  [
    { tags: "latest" },
    'params.tags: expected a list, found "latest"; a list is written in brackets: [latest]',
  ],
  [{ tag_file: "repo/version" }, 'params: there is no param "tag_file"; write tags_file'],
  [{ tag_as_latest: true }, 'params: there is no param "tag_as_latest"; write tags: [latest]'],
  [{ target_name: "app" }, 'params: there is no param "target_name"; write target'],
  [{ push: true }, 'params: there is no param "push"; remove it: a put always pushes'],
  [
    { file: "repo/Dockerfile" },
    'params: there is no param "file"; write dockerfile: the path of the Dockerfile',
  ],
  [{ version: "version/number" }, "params.version: …"],
  [{ version: "" }, "params.version: …"],
  [
    { version: 1.1 },
    "params.version: expected a string; put a number with a point in quotes, because YAML reads 1.10 as 1.1, found 1.1",
  ],
  [{ bump_aliases: true }, "params.bump_aliases …"],
  [{ "build-args": { A: 1 } }, 'params: there is no param "build-args"; did you mean "build_args"?'],
  [{ args: { A: 1 } }, 'params: there is no param "args"; write build_args'],
  [
    { build_args: ["A=1"] },
    "params.build_args: expected a map, found a list; a map is written {name: value}, or with one name: value a line",
  ],
  [
    { build_args: { A: null } },
    'params.build_args.A: expected a string ("" for an empty one), found nothing (null)',
  ],
  [
    { build_args: { A: { b: 1 } } },
    "params.build_args.A: expected a string, found a map; to pass JSON, put it in quotes",
  ],
  [
    { options: { target: "app" } },
    "params.options.target: options can't set it; write target, or additional_targets",
  ],
  [{ options: { "label:team": "web" } }, "params.options.label:team: options can't set it; write labels"],
  ...(
    [
      [
        { memory: "512Mi" },
        'memory: expected a number of bytes, or a size such as 512m or 2g, 6m at least, found "512Mi"',
      ],
      [
        { memory: 0 },
        "memory: expected a number of bytes, or a size such as 512m or 2g, 6m at least, found 0",
      ],
      [{ memory: 512 }, "memory: expected a number of bytes, or a size such as 512m or 2g, 6m at least, …"],
      [{ memory: ["1g"] }, "memory: expected a string, found a list; to pass JSON, put it in quotes"],
      [{ memswap: "1g" }, "memswap: expected memory beside it, as it limits memory and swap together"],
      [{ memory: "1g", memswap: "512m" }, "memswap: expected no less than memory, …"],
      [{ memswap: -2 }, "memswap: expected memory and swap together: a number of bytes, …"],
      [{ cpuquota: "0.5" }, "cpuquota: expected microseconds of each cpuperiod, at least 1000: …"],
      [
        { cpuperiod: 100 },
        "cpuperiod: expected microseconds from 1000 to 1000000, such as 100000, found 100",
      ],
      [{ cpushares: 1 }, "cpushares: expected a whole number from 2 to 262144, …"],
      [{ cpushares: 262_145 }, "cpushares: expected a whole number from 2 to 262144, …"],
      [{ cpusetcpus: "3-1" }, 'cpusetcpus: expected numbers of processors, such as 0-3,5, found "3-1"'],
      [{ cpusetmems: "all" }, 'cpusetmems: expected numbers of memory nodes, such as 0-3,5, found "all"'],
      [
        { hostname: "a b" },
        'hostname: expected a host name of at most 64 characters, without blanks, found "a b"',
      ],
      [{ "multi-platform": "yes" }, 'multi-platform: expected true or false, found "yes"'],
      [{ hostname: "a".repeat(65) }, "hostname: expected a host name of at most 64 characters, …"],
      [
        { hostname: "user@a b" },
        "hostname: expected a host name of at most 64 characters, without blanks, found a string",
      ],
      [{ "attest:SBOM": "" }, "attest:SBOM: options can't set it; write provenance, or sbom: …"],
    ] as const
  ).map(([options, answer]) => [{ options }, `params.options.${answer}`] as const),
  [
    { options: { "multi-platform": false }, platforms: ["linux/amd64", "linux/arm64"] },
    "params.options.multi-platform: several platforms always give an index: remove it, or all platforms but one",
  ],
  [
    { options: "memory=1g" },
    "params.options: expected a map, found a string; a map is written {name: value}, or with one name: value a line",
  ],
  [
    { build_args: { BUILDKIT_MULTI_PLATFORM: "yes", BUILDKIT_GIT_ADVICE: "canary" } },
    [
      "params.build_args.BUILDKIT_GIT_ADVICE: expected true or false, as BuildKit reads it",
      "params.build_args.BUILDKIT_MULTI_PLATFORM: expected true or false, as BuildKit reads it",
    ].join("\n"),
  ],
  [
    { options: { "a b": "c" } },
    'params.options.a b: expected the name of a frontend option, without "=" and blanks, as in hostname',
  ],
  [{ BUILDKIT_OPTIONS: "requestid=frontend.lint" }, "params.options.requestid: options can't set it; …"],
  [
    { call: "check" },
    'params: there is no param "call"; a put has to build, because Concourse wants a version from it; run the image as a task with CALL: check, outline or targets',
  ],
  [{ CALL: "outline" }, 'params: there is no param "CALL"; a put has to build …'],
  [
    { source_policy: { rules: [{ action: "DENY", selector: { identifier: "registry.example/base:1" } }] } },
    "params.source_policy.rules.0.selector.identifier: expected the beginning of a source, …",
  ],
  [
    { source_policy: { rules: [{ action: "DENI", selector: { identifier: "*" } }] } },
    "params.source_policy.rules.0.action: expected one of ALLOW, DENY, CONVERT, …",
  ],
  [
    {
      source_policy: {
        rules: [
          { action: "DENY", selector: { identifier: "docker-image://a.example/b:1", matchType: "EXACT" } },
        ],
      },
    },
    'params.source_policy.rules.0.selector: there is no "matchType"; write match_type',
  ],
  [
    { source_policy: { rules: [{ action: "DENY", selector: { identifier: "docker-image://**" } }] } },
    'params.source_policy.rules.0.selector.identifier: expected at most one "*" in a row in a WILDCARD, …',
  ],
  [
    {
      source_policy: {
        rules: [{ action: "CONVERT", selector: { identifier: "docker-image://a.example/b:1" } }],
      },
    },
    "params.source_policy.rules.0.updates: expected what a CONVERT changes: {identifier: docker-image://…}, or attrs, but it is missing",
  ],
  [
    {
      source_policy: {
        rules: [
          {
            action: "DENY",
            selector: { identifier: "docker-image://a.example/b:1" },
            updates: { attrs: {} },
          },
          { action: "CONVERT", selector: { identifier: "docker-image://a.example/b:1" }, updates: {} },
        ],
      },
    },
    [
      "params.source_policy.rules.0.updates: expected no updates, as only a CONVERT has some: write action: CONVERT, or remove them, found a map",
      "params.source_policy.rules.1.updates: expected what a CONVERT changes: {identifier: docker-image://…}, or attrs, found a map",
    ].join("\n"),
  ],
  [
    { platforms: ["linux/arm64", "linux/amd64", "linux/arm64/v8"], also: ["a.example/b", "a.example/b"] },
    "params.platforms: linux/arm64 is given twice: remove one\nparams.also: a.example/b is given twice: remove one",
  ],
  [{ additional_targets: ["test", "test"] }, 'params.additional_targets: "test" is given twice: remove one'],
  [{ target: 1.1 }, "params.target: expected a string, found 1.1; put it in quotes"],
  [
    { source_policy: { rules: [{ action: "DENY", selector: { identifier: "docker-image://alpine:3" } }] } },
    "params.source_policy.rules.0.selector.identifier: expected the whole name, as BuildKit writes it, since otherwise the rule never applies: docker-image://docker.io/library/alpine:3, …",
  ],
  [
    { source_policy: '{"rule": []}' },
    'params.source_policy.rules: expected a list, but it is missing\nparams.source_policy: there is no "rule"; did you mean "rules"?',
  ],
  [{ policy: "ci/policy.json" }, 'params: there is no param "policy"; write source_policy: …'],
  [{ memory: "1g" }, 'params: there is no param "memory"; write options: {memory: …'],
  [
    { metadata_file: "m.json" },
    'params: there is no param "metadata_file"; remove it: the get delivers build.json, digest and reference',
  ],
  [{ t: "app:1" }, 'params: there is no param "t"; write tags: [latest]; …'],
  [
    { "import-cache": "x" },
    'params: there is no param "import-cache"; the layer cache belongs in the source: …',
  ],
  [{ "compression-level": 3 }, 'params: there is no param "compression-level"; write compression: {type: …'],
  [
    { labels: { team: null } },
    'params.labels.team: expected a string ("" for an empty one), found nothing (null)',
  ],
  [
    { platform: "linux/arm64" },
    'params: there is no param "platform"; write platforms: [linux/amd64]; for the one that the get delivers, get_params: {platform: linux/amd64}',
  ],
  [
    { platforms: "linux/amd64" },
    'params.platforms: expected a list, found "linux/amd64"; a list is written in brackets: [linux/amd64]',
  ],
  [
    { platforms: "linux/amd64,linux/arm64" },
    'params.platforms: expected a list, found "linux/amd64,linux/arm64"; a list is written in brackets: [linux/amd64, linux/arm64]',
  ],
  [
    { platforms: ["linux/amd46", "linux/arm64", "linus/amd64", "linux/arm/v77"] },
    [
      'params.platforms: "linux/amd46": there is no architecture "amd46"; did you mean "amd64"?',
      'params.platforms: "linus/amd64": there is no operating system "linus"; did you mean "linux"?',
      'params.platforms: "linux/arm/v77": arm has no variant "v77"; expected one such as v6 or v7, or none',
    ].join("\n"),
  ],
  [
    { IMAGE_PLATFORM: "linux/amd64,linux/ard64" },
    'params.platforms: "linux/ard64": there is no architecture "ard64"; did you mean "amd64"?',
  ],
  [
    { unpack_rootfs: "true" },
    'params.unpack_rootfs: expected true or false, found "true"; remove the quotes',
  ],
  [{ unpack: true }, 'params: there is no param "unpack"; write unpack_rootfs: true'],
  [{ rootfs: true }, 'params: there is no param "rootfs"; write unpack_rootfs: true'],
  [{ skip_download: true }, 'params: there is no param "skip_download"; it belongs in the put\'s get_params'],
  [
    { format: "oci" },
    'params: there is no param "format"; it belongs in the put\'s get_params: output_oci: true or unpack_rootfs: true',
  ],
  [{ secrets: { token: "x" } }, "params.secrets.token: expected one of …"],
  [
    { secrets: { token: { path: "x" } } },
    'params.secrets.token: expected one of {file: path}, {text: the secret}, {env: NAME}, found a map; there is no "path", write file: the path',
  ],
  [
    { secrets: { token: { value: "" } } },
    'params.secrets.token: expected one of {file: path}, {text: the secret}, {env: NAME}, found a map; there is no "value", write text: the secret',
  ],
  [
    { ssh: { default: { file: "x" } } },
    'params.ssh.default: expected the path of a private key, the key itself, {path: …} or {key: …}, or a list of these, found a map; there is no "file", write path',
  ],
  [
    { compression: { type: "gz" } },
    'params.compression.type: expected one of gzip, zstd, estargz, uncompressed, found "gz"',
  ],
  [
    { compression: { level: "3" } },
    [
      "params.compression.type: expected one of gzip, zstd, estargz, uncompressed, but it is missing",
      'params.compression.level: expected a number, found "3"; remove the quotes',
    ].join("\n"),
  ],
  [{ compression: "gz" }, "params.compression: expected …"],
  [{ context: ["repo"] }, "params.context: expected a string, found a list"],
  [
    { context: "" },
    "params.context: expected a string that is not empty, found an empty text (is a variable empty?)",
  ],
  [{ CONTEXT: "repo", context: "repo" }, "params: CONTEXT and context are two forms of one param …"],
  [{ UNPACK_ROOTFS: "yes" }, "UNPACK_ROOTFS: expected true or false …"],
  [{ DOCKER_FILE: "x" }, 'params: there is no param "DOCKER_FILE"; did you mean "dockerfile"?'],
  [{ BUILDARG_A: "1" }, 'params: there is no param "BUILDARG_A"; did you mean "BUILD_ARG_*"?'],
  [{ tags: ["v1/2"] }, 'params.tags: " …'],
  [
    { repository: "registry.example/app" },
    'params: there is no param "repository"; it belongs in the resource\'s source',
  ],
  [{ network: "bridge" }, 'params.network: expected one of default, none, host, found "bridge"'],
  [
    { shm_size: "64 MiB" },
    'params.shm_size: expected a number of bytes, or a size such as 64m or 1g, found "64 MiB"',
  ],
  // What may be a secret is not shown.
  [
    { secrets: { token: "x" }, ssh: 3, build_args: "A=x", labels: "x" },
    [
      "params.build_args: expected a map, found a string; a map is written {name: value}, or with one name: value a line",
      "params.labels: expected a map, found a string; a map is written {name: value}, or with one name: value a line",
      "params.secrets.token: expected one of {file: path}, {text: the secret}, {env: NAME}, found a string",
      "params.ssh: expected a map, found a number",
    ].join("\n"),
  ],
  [
    { squash: true },
    'params: there is no param "squash"; remove it: BuildKit can\'t; copy the result into a last stage FROM scratch',
  ],
  [{ ulimits: { nofile: "1024-2048" } }, "params.ulimits.nofile: expected …"],
  [{ target: "a", target_file: "b" }, "target and target_file are both given: remove one"],
  [{ version: "1.0.0", version_file: "b" }, "version and version_file are both given: remove one"],
  [
    { dockerfile: "a", dockerfile_inline: "FROM scratch" },
    "dockerfile and dockerfile_inline are both given: remove one",
  ],
  [{ tags: [`build-${"a".repeat(64)}`] }, 'params.tags: "build-aaaa …'],
  [{ tags: ["buildcache"] }, 'params.tags: "buildcache" is a tag of the layer cache …'],
  [{ also: ["registry.example/web"] }, "params.also: registry.example/web is the source's own repository …"],
  [{ also: ["registry.example/a@x"] }, "params.also: …"],
  [{ contexts: { "a/B": "." } }, "contexts.a/B: …"],
  [{ contexts: { base: "hg://x" } }, "contexts.base: BuildKit fetches nothing by hg:// …"],
  [
    { contexts: { alpine: "a", "alpine:latest": "b" } },
    'contexts: "alpine" and "alpine:latest" are one name: remove one',
  ],
  [{ context: "https://git.example/page" }, 'context: "https://git.example/page" is not a git URL …'],
  [{ ssh: { default: { key: "secret" } } }, "params.ssh.default: the key can't be used: it is not …"],
  [
    { ssh: { default: { key: "ssh-ed25519 AAAA" } } },
    "params.ssh.default: the key can't be used: it is a public key …",
  ],
  [{ buildkit_extra_config: "a = " }, "buildkit_extra_config is not TOML (line 1) …"],
  [{ buildkit_extra_config: 'root = "/x"' }, "buildkit_extra_config sets root …"],
  [
    { add_hosts: { db: ["10.0.0.1", "10.0.0.300"] } },
    'params.add_hosts.db: "10.0.0.300" is not an IP address; expected one such as 10.0.0.1 or fd00::1',
  ],
  [
    { build_args: { SOURCE_DATE_EPOCH: "yesterday" } },
    'params.build_args.SOURCE_DATE_EPOCH: expected whole seconds since 1970, such as 1700000000; found "yesterday"',
  ],
  [
    { ulimits: { nofiles: 3, nproc: "20:10", core: "-1:5", stack: "5:-1" } },
    [
      'params.ulimits: there is no limit "nofiles"; did you mean "nofile"?',
      'params.ulimits.nproc: the soft limit is above the hard limit in "20:10"; write soft:hard, such as "1024:2048"',
      'params.ulimits.core: the soft limit is above the hard limit in "-1:5"; write soft:hard, such as "1024:2048"',
    ].join("\n"),
  ],
  [{ network: "host" }, 'params.network: "host" also needs "allow: [network.host]"'],
  [{ additional_targets: ["image"] }, "params.additional_targets: the folder of …"],
  [
    { contxt: "repo", target: "a", target_file: "b", tags: ["a/b", "ok"], also: [repository] },
    [
      'params: there is no param "contxt"; did you mean "context"?',
      "target and target_file are both given: remove one",
      'params.tags: "a/b" is not a tag; expected up to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"',
      "params.also: registry.example/web is the source's own repository: remove it",
    ].join("\n"),
  ],
  // A misspelt version is not told to be missing as well.
  [{ bump_aliases: true, versoin: "1" }, 'params: there is no param "versoin"; did you mean "version"?'],
  [{ bump_aliases: true, version: ["1"] }, "params.version: expected a string …"],
];
