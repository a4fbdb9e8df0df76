import assert from "node:assert/strict";
import { test } from "node:test";
import { explain } from "../../../src/builder/progress/explanations.ts";
import { parseVertexName } from "../../../src/builder/progress/step.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

/** What BuildKit says, the name of the step that failed, the end of its output, and what is told. */
const rows: readonly (readonly [said: string, told: string, step?: string, output?: string])[] = [
  [
    'failed to read dockerfile: failed to load cache key: repository does not contain ref nobranch, output: ""',
    'the git repository https://git.example/app.git has no branch, tag or commit "nobranch": check what follows the "#" in its URL',
    "[internal] load git source https://git.example/app.git#nobranch",
  ],
  [
    'failed to load cache key: repository does not contain ref v2, output: ""',
    'the git repository https://git.example/app.git has no branch, tag or commit "v2": check what follows the "#" in its URL',
    "[1/1] ADD --keep-git-dir=true https://git.example/app.git#v2 /src",
  ],
  [
    'failed to read dockerfile: invalid subdir nosuch: failed to lstat "nosuch": statat nosuch: no such file or directory',
    'the git repository has no folder "nosuch": check what follows the ":" after the "#" in its URL',
  ],
  [
    "failed to read dockerfile: open Nofile: no such file or directory",
    'the git repository of the context has no file "Nofile": check "dockerfile", which is a path inside the repository',
  ],
  [
    'failed to read dockerfile: failed to load cache key: no SSH key "default" forwarded from the client',
    'the git repository git@git.example:a.git is read with an SSH key, and none is given: add "ssh: {default: …}", or use an https:// URL',
    "[internal] load git source git@git.example:a.git",
  ],
  [
    "failed to read dockerfile: failed to load cache key: error fetching default branch for repository http://127.0.0.1:1/none.git: git stderr:\nfatal: unable to access 'http://127.0.0.1:1/none.git/': Failed to connect\n: exit status 128",
    "the git repository can't be read (fatal: unable to access 'http://127.0.0.1:1/none.git/': Failed to connect): check the URL, and that BuildKit can reach the host",
  ],
  [
    "failed to load cache key: git stderr:\nfatal: could not read Username for 'https://git.example': terminal prompts disabled\n: exit status 128",
    "the git repository can't be read (fatal: could not read Username for 'https://git.example': terminal prompts disabled): check the URL; for a private repository give a token: secrets: {GIT_AUTH_TOKEN: {text: …}}",
  ],
  [
    "failed to load cache key: invalid response status 404",
    "the server answers with status 404: check the URL",
  ],
  [
    'failed to load cache key: Get "http://127.0.0.1:1/x.tgz": dial tcp 127.0.0.1:1: connect: connection refused',
    "http://127.0.0.1:1/x.tgz can't be fetched (dial tcp 127.0.0.1:1: connect: connection refused): check the URL, and that BuildKit can reach the host",
  ],
  [
    'failed to parse check options: failed to parse check option "error=tru": strconv.ParseBool: parsing "tru": invalid syntax',
    'the Dockerfile\'s "# check=" line says error=tru; expected error=true or error=false',
  ],
  [
    'failed to parse check options: invalid check option "skip"',
    'the Dockerfile\'s "# check=" line says skip; expected skip=RULE, experimental=RULE or error=true, joined by ";"',
  ],
  [
    "only one check parser directive can be used",
    'the Dockerfile has more than one "# check=" line at its top, expected one: join them, as in "# check=skip=FromAsCasing,StageNameCasing;error=true"',
  ],
  [
    "only one escape parser directive can be used",
    'the Dockerfile has more than one "# escape=" line at its top, expected one: remove the others',
  ],
  [
    "invalid escape token 'z' does not match ` or \\",
    'the Dockerfile\'s "# escape=" line says z; expected "# escape=\\" or "# escape=`"',
  ],
  [
    "unknown instruction: \uFFFD\uFFFDF\0R\0O\0M\0",
    "the Dockerfile is not text in UTF-8 (it may be UTF-16): save it as UTF-8",
  ],
  [
    "lint violation found for rules: FromAsCasing, StageNameCasing",
    'lint violation found for rules: FromAsCasing, StageNameCasing: warnings count as errors, by fail_on_warnings or the Dockerfile\'s "# check=error=true"; mend them, or skip a rule by "# check=skip=FromAsCasing" at the top of the Dockerfile ("# check=skip=FromAsCasing;error=true" if it has error=true there)',
  ],
  [
    "invalid field ' b' must be a key=value pair",
    "invalid field ' b' must be a key=value pair; a value with a comma or a quote is written as in --mount='type=cache,\"id=a, b\",target=/m'",
  ],
  [
    'failed to parse csv mounts: parse error on line 1, column 16: bare " in non-quoted-field',
    'failed to parse csv mounts: parse error on line 1, column 16: bare " in non-quoted-field; a value with a comma or a quote is written as in --mount=\'type=cache,"id=a, b",target=/m\'',
  ],
  [
    "digest mismatch sha256:aa: sha256:bb",
    "the file has the digest sha256:aa, but --checksum says sha256:bb: check the URL, or correct --checksum",
  ],
  [
    "exit code: 1",
    'exit code: 1; the image has no /bin/sh, which runs a RUN (FROM scratch has none): write RUN ["program", "argument"], or run it in another stage and COPY its result',
    "[1/1] RUN true",
    'runc run failed: unable to start container process: error during container init: exec: "/bin/sh": stat /bin/sh: no such file or directory',
  ],
  [
    "exit code: 1",
    'exit code: 1; the image has no program "mvn": check the name, and what the base image has',
    '[1/1] RUN ["mvn"]',
    'runc run failed: unable to start container process: error during container init: exec: "mvn": executable file not found in $PATH',
  ],
  [
    "exit code: 1",
    "exit code: 1; /tool is not executable: COPY it with --chmod=755, or make it executable in the repository (git update-index --chmod=+x)",
    '[1/1] RUN ["/tool"]',
    'runc run failed: unable to start container process: error during container init: exec: "/tool": permission denied',
  ],
  [
    "exit code: 255",
    "exit code: 255; the program is for another platform, or is a script without a first line such as #!/bin/sh",
    '[1/1] RUN ["/tool"]',
    "exec /tool: exec format error",
  ],
  ["exit code: 3", "exit code: 3", "[1/1] RUN make", "make: *** [all] Error 3"],
  [
    "failed to parse additional hosts: failed to parse IP 10.0.0.300",
    'add_hosts: "10.0.0.300" is not an IP address; expected one such as 10.0.0.1 or fd00::1',
  ],
  [
    "invalid SOURCE_DATE_EPOCH: now",
    'the build arg SOURCE_DATE_EPOCH is "now"; expected whole seconds since 1970, such as 1700000000',
  ],
  [
    "index annotations not supported for single platform export",
    'annotations: a build for one platform has no index that could be annotated: give several "platforms", or leave out "index:"',
  ],
  [
    "unable to find user web: no matching entries in passwd file",
    'the image has no user "web": add it in a RUN before USER, or use a number, such as USER 1000',
  ],
  [
    "failed to load cache key: invalid user index -1",
    "--chown can't look up the name, because the stage has no /etc/passwd and /etc/group with it: use numbers, such as --chown=1000:1000",
  ],
  [
    "mkdir /bin/busybox: not a directory",
    "/bin/busybox can't be a folder, because it or a part of its path is a file",
  ],
  [
    "no build stage in current context",
    "there is no FROM before this instruction: only ARG may stand before the first FROM",
  ],
  [
    "file with no instructions",
    "Dockerfile has no instructions: it has to begin with FROM, before which only ARG may stand",
  ],
  [
    "base name ($BASE) should not be blank",
    'the name of the base image, $BASE, is empty: give it a value under "build_args", or a default in the ARG before FROM',
  ],
  [
    "empty platform value from expression $NOPE",
    'the value of --platform, $NOPE, is empty: give it a value under "build_args", or a default in an ARG before FROM',
  ],
  [
    "ENV must have two arguments",
    "ENV must have two arguments: write ENV name=value, with a value that has blanks in quotes",
  ],
  [
    "unterminated heredoc",
    "the heredoc has no end: after it a line has to hold only the word that follows <<",
  ],
  ["invalid containerPort: eighty", '"eighty" is not a port; expected a number such as 8080, or 8080/udp'],
  [
    'dockerfile parse error on line 2: time: missing unit in duration "3"',
    '"3" is not a duration; expected a number with its unit, such as 30s or 5m',
  ],
  [
    'dockerfile parse error on line 5: invalid network mode "foo"',
    'there is no network mode "foo"; expected one of default, none, host',
  ],
  [
    "failed to compute cache key: mount callback failed on /tmp/x/containerd-mount31: archive/tar: invalid tar header",
    "a layer of a base image can't be unpacked (archive/tar: invalid tar header): it is damaged or encrypted, or its media type names another compression than it has; rebuild the base, or name another in FROM",
    "[2/2] RUN true",
  ],
  [
    "failed to compute cache key: mount callback failed on /tmp/x/containerd-mount31: window size exceeded",
    "a layer of a base image can't be unpacked (window size exceeded): its Zstandard has a window of over 512 MiB; compress it again with zstd --long=29 or less, or name another base in FROM",
    "[2/2] RUN true",
  ],
  [
    'failed to compute cache key: mount callback failed on /tmp/x/containerd-mount31: failed to Lchown "/tmp/x/containerd-mount31/a" for UID 0, GID 42: lchown /tmp/x/containerd-mount31/a: invalid argument',
    'a layer of a base image can\'t be unpacked (failed to Lchown "/a" for UID 0, GID 42: lchown /a: invalid argument)',
    "[2/2] RUN true",
  ],
  ...["no space left on device", "input/output error", "read-only file system"].map(
    (said, at) =>
      [
        `failed to compute cache key: mount callback failed on /tmp/x/containerd-mount31: write /tmp/x/containerd-mount31/usr/bin/zstd: ${said}`,
        `BuildKit can't unpack a layer (write /usr/bin/zstd: ${said}): ${["the disk on which it keeps layers is full; make room on it or use another", "its disk fails with an I/O error", "its disk is mounted read-only"][at]}`,
        "[2/2] RUN true",
      ] as const,
  ),
  [
    "failed to compute cache key: unhandled tar header type 83",
    "a layer of a base image can't be unpacked: a member of its archive has the type \"S\", which BuildKit doesn't read (a sparse file of GNU tar: write the layer without --sparse); rebuild the base, or name another in FROM",
    "[2/2] RUN true",
  ],
  [
    "failed to compute cache key: unexpected EOF",
    "a layer of a base image can't be unpacked (unexpected EOF): it is damaged or encrypted, or its media type names another compression than it has; rebuild the base, or name another in FROM",
    "[2/2] RUN true",
  ],
  [
    "failed to compute cache key: write /var/lib/x/runc-overlayfs/snapshots/snapshots/4/fs/usr/bin/zstd: no space left on device",
    "BuildKit can't unpack a layer (write /usr/bin/zstd: no space left on device): the disk on which it keeps layers is full; make room on it or use another",
    "[2/2] RUN true",
  ],
  [
    'failed to ensure compression type of "zstd": failed to convert: exit status 1: igzip: Error (null) does not contain a complete gzip file',
    "a layer of a base image can't be unpacked (exit status 1: igzip: Error (null) does not contain a complete gzip file): it is damaged or encrypted, or its media type names another compression than it has; rebuild the base, or name another in FROM",
    "exporting to image",
  ],
  ...[
    "failed to compute cache key: short read: expected 1064280 bytes but got 0: unexpected EOF",
    "failed to compute cache key: failed to copy: read tcp 127.0.0.1:48204->127.0.0.1:46367: unexpected EOF",
    'failed to compute cache key: failed to calculate checksum of ref a::b: "/snapshots/snapshots/1/fs/x": too many links',
  ].map((said) => [said, said, "[2/2] RUN true"] as const),
  [
    "failed to compute cache key: failed to copy: httpReadSeeker: failed open: unexpected status code https://r.example/v2/b/blobs/sha256:1a: 403 Forbidden",
    "a layer of a base image can't be fetched: https://r.example/v2/b/blobs/sha256:1a answers 403 Forbidden; check that this user may pull the image, or run the step again later",
    "[2/2] RUN true",
  ],
  [
    'failed to compute cache key: failed to copy: httpReadSeeker: failed open: failed to do request: Get "https://r.example/v2/b/blobs/sha256:1a": dial tcp 192.0.2.1:443: i/o timeout',
    "a layer of a base image can't be fetched (dial tcp 192.0.2.1:443: i/o timeout): check that BuildKit can reach the registry, or run the step again later",
    "[2/2] RUN true",
  ],
  ...[
    "mount callback failed on /tmp/m1: mount callback failed on /tmp/m2: failed to write compressed diff: failed to create diff tar stream: failed to copy: archive/tar: write too long",
    "failed to create diff tar stream: failed to copy: /tmp/m2/var/log/x: archive/tar: write too long",
    "mount callback failed on /tmp/m1: failed to write diff: archive/tar: write too long",
  ].map(
    (said) =>
      [
        said,
        `${said}: a file grew while BuildKit read it for a layer; run the step again, and if that doesn't help, keep BuildKit's state on a local disk of its own`,
        "exporting to image",
      ] as const,
  ),
  // These are about the build's own layers, not about a base's.
  ...[
    "mount callback failed on /tmp/m1: mount callback failed on /tmp/m2: failed to write compressed diff: failed to create diff tar stream: failed to copy: write /var/lib/buildkit/content/ingest/69/data: no space left on device",
    "mount callback failed on /tmp/m1: mount callback failed on /tmp/m2: failed to write compressed diff: failed to create diff tar stream: failed to copy: zstd: write /var/lib/buildkit/content/ingest/69/data: no space left on device",
    "failed to write compressed diff: mount callback failed on /tmp/m1: mount callback failed on /tmp/m2: failed to create diff tar stream: stat /tmp/m2/a: unexpected EOF",
    "failed calculating diff pairs for exported snapshot: mount callback failed on /tmp/m1: mount callback failed on /tmp/m2: failed to open writer: ref buildkit/1/r7hengy3 locked: unavailable",
    "mount callback failed on /tmp/m1: failed to open writer: ref moby/1/abc locked: unavailable",
  ].map((said) => [said, said, "exporting to image"] as const),
  [
    "failed to compute cache key: failed to get stream processor for application/x: no processor for media-type",
    "a layer of a base image has the media type application/x, which BuildKit can't unpack: rebuild the base, or name another in FROM",
    "[2/2] RUN true",
  ],
  [
    "invalid image config for export: missing architecture",
    "the last stage's base image names no architecture in its config, and no image can be made of it: name it there (crane mutate --set-platform linux/amd64), or only copy the base's files, by COPY --from",
  ],
  [
    "failed to resolve source metadata for r.example/chart:1: encountered unknown type application/vnd.cncf.helm.config.v1+json; children may not be fetched",
    "image r.example/chart:1 can't be pulled: it is an artifact of type application/vnd.cncf.helm.config.v1+json, such as a chart or a signature, and no image: check the name and the tag",
  ],
  ...[
    [
      "unexpected status from GET request to https://auth.example/token?scope=repository%3Ab%3Apull: 502 Bad Gateway",
      "is busy or has a fault (…): run the step again later",
    ],
    [
      'Post "https://auth.example/token": dial tcp 192.0.2.1:443: connect: connection refused',
      `can't be reached (…): BuildKit has to reach it too; if it can't, give "mirrors" for r.example under "registries" in the source`,
    ],
    [
      'Post "https://auth.example/token": tls: failed to verify certificate: x509: certificate signed by unknown authority',
      `: …; its certificate is not trusted: give its CA as "ca_certs" in the source, for every registry or for its host under "registries"`,
    ],
  ].map(([asked = "", told = ""]) => {
    const said = `failed to authorize: failed to fetch oauth token: ${asked}`;
    const joined = told.startsWith(":") ? told : `, ${told}`;
    return [
      `failed to resolve source metadata for r.example/b:1: ${said}`,
      `image r.example/b:1 can't be pulled: the token server of r.example, auth.example${joined.replace("…", said)}`,
    ] as const;
  }),
  ["invalid signal: NOPE", 'there is no signal "NOPE"; expected one such as SIGTERM or 15'],
  [
    "b: failed to resolve source metadata for docker.io/library/b:latest: not found",
    'the stage "b" is defined after this line, and a stage can only use those before it. There is no such image either: docker.io has no such image (not found): check the name, the tag and the registry',
  ],
];

test("BuildKit's words are told as what was found, what was expected, and what to change", () => {
  const build = { names: namesOfPut, dockerfile: { name: "Dockerfile", text: "FROM b AS a\nFROM a AS b\n" } };
  const told = rows.map(([said, , step, output = ""]) =>
    explain(
      said,
      build,
      step === undefined
        ? undefined
        : { name: parseVertexName(step), fullName: step, lastLines: output.split("\n") },
    ),
  );
  assert.deepEqual(
    told,
    rows.map(([, expected]) => expected),
  );
});

test("a layer that can't be unpacked may be the layer cache's, if there is one", () => {
  assert.equal(
    explain(
      "failed to compute cache key: mount callback failed on /tmp/m1: unexpected EOF",
      { names: namesOfPut, usesLayerCache: true },
      undefined,
    ),
    "a layer of a base image, or of the layer cache, can't be unpacked (unexpected EOF): it is damaged or encrypted, or its media type names another compression than it has; rebuild the base, or name another in FROM",
  );
});

test("a RUN that fails without a secret or an SSH key that it mounts is told which", () => {
  const step =
    "[build 2/3] RUN --mount=type=secret,id=npmrc,target=/root/.npmrc --mount=type=ssh --mount=type=cache,target=/c npm ci";
  const build = { names: namesOfPut, given: { secrets: ["other"], ssh: ["github"] } };
  const failed = { name: parseVertexName(step), fullName: step, lastLines: ["npm: 401"] };
  const told = explain("exit code: 1", build, failed);
  assert.equal(
    told,
    [
      "exit code: 1",
      `a secret that it mounts isn't given; if it needs it, add "secrets: {npmrc: {text: …}}" (or file, or env)`,
      `an SSH key that it mounts isn't given; if it needs it, add "ssh: {default: …}"`,
    ].join("\n"),
  );
  const all = { names: namesOfPut, given: { secrets: ["npmrc"], ssh: ["default"] } };
  assert.equal(explain("exit code: 1", all, failed), "exit code: 1");
});
