/** The Dockerfile of the build, to name it as the author does. */
export interface ShownDockerfile {
  /** As the params name it. */
  readonly name: string;
  readonly text: string;
}

/** What is known of a build that failed. */
export interface FailedBuild {
  readonly dockerfile?: ShownDockerfile | undefined;
}

interface Explanation {
  readonly sign: RegExp;
  readonly say: (reason: string, build: FailedBuild) => string;
}

const explanations: readonly Explanation[] = [
  {
    sign: /^exit code: 137$/,
    say: (reason) =>
      `${reason}; 137 means it was killed (SIGKILL), as a rule because the worker is out of memory`,
  },
  {
    sign: /^exit code: 127$/,
    say: (reason) => `${reason}; 127 means that the command was not found in the image`,
  },
  {
    sign: /target stage "?([^\s"]+)"? could not be found/,
    say: (reason, { dockerfile }) => `${reason}; ${stagesOf(dockerfile)}`,
  },
  {
    sign: /(insufficient_scope|authorization failed|pull access denied|401 Unauthorized)/,
    say: (reason) =>
      `${reason}; check that the image exists, and give the registry's username and password under "registries" in the source`,
  },
  {
    sign: /server gave HTTP response to HTTPS client/,
    say: (reason) =>
      `${reason}; that registry speaks plain http: set "insecure: true" for its host under "registries" in the source`,
  },
  {
    sign: /^failed to push .*unexpected status from/,
    say: (reason) =>
      reason.replace(/: .*unexpected status from \w+ request to \S+: /, ": the registry answers "),
  },
  {
    sign: /^failed to push .*\b(denied|forbidden)\b/i,
    say: (reason) =>
      `${reason}; the registry refuses the push: check what this user may do there, and its quota`,
  },
  {
    sign: /failed to resolve source metadata for \S*docker\/dockerfile[:@]/,
    say: (reason) =>
      `${reason}; the Dockerfile's "# syntax=" line has BuildKit fetch its frontend from there: remove the line (BuildKit has one of its own), or name a mirror under "registry_mirrors"`,
  },
  {
    // The file is one that the step has made of the key.
    sign: /failed to parse \S+\/ssh-\S+-\d+\/key: ssh: /,
    say: (reason) => {
      const [, id, why] = /\/ssh-(\S+)-\d+\/key: ssh: (.*)/.exec(reason) ?? [];
      return `ssh.${id?.replaceAll("|", "/")}: the key can't be used (${why}); expected a private key without a passphrase`;
    },
  },
  {
    sign: /x509: certificate/,
    say: (reason) => `${reason}; give the CA of that registry as "ca_certs" for its host under "registries"`,
  },
  {
    sign: /\b(network\.host|security\.insecure|device)\b.* is not allowed/,
    say: (reason) =>
      `${reason}; name it under "allow" in the params (a daemon elsewhere must permit it in its own configuration)`,
  },
];

/** The reason without BuildKit's wrapping, and with what to do about it where that is known. Pure. */
export function explain(reason: string, build: FailedBuild): string {
  const plain = reason.replace(/^failed to solve: /, "").replace(/^rpc error: code = \w+ desc = /, "");
  return explanations.find(({ sign }) => sign.test(plain))?.say(plain, build) ?? plain;
}

function stagesOf(dockerfile: ShownDockerfile | undefined): string {
  const lines = (dockerfile?.text ?? "").split("\n");
  const stages = lines.flatMap((line) => /^\s*FROM\s.*\sAS\s+(\S+)\s*$/i.exec(line)?.[1] ?? []);
  return stages.length > 0
    ? `the Dockerfile's stages: ${stages.join(", ")}`
    : "the Dockerfile names no stage";
}
