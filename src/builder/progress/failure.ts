import { maskCredentials } from "../../host/mask-credentials.ts";
import type { BuildStep } from "./step.ts";

/** The Dockerfile of the build, to name it as the author does. */
export interface ShownDockerfile {
  /** As the params name it. */
  readonly name: string;
  readonly text: string;
}

/**
 * The message of a failed solve: which step, the end of its output, the Dockerfile's lines, and why.
 * @param failed the step that failed, where one did
 * @param said buildctl's own words on stderr: an excerpt of the Dockerfile, then `error: …`
 */
export function failureMessage(
  failed: BuildStep | undefined,
  said: readonly string[],
  dockerfile: ShownDockerfile | undefined,
): string | undefined {
  const start = said.findIndex((line) => line.startsWith("error: "));
  if (failed === undefined && start === -1) {
    const words = said.join("\n").trim();
    return words === "" ? undefined : maskCredentials(words);
  }
  const reason = start === -1 ? (failed?.error ?? "") : said.slice(start).join("\n").slice("error: ".length);
  const excerpt = (start === -1 ? said : said.slice(0, start)).filter((line) => !/^-+$/.test(line));
  const shown = excerpt.map((line) => nameDockerfile(line, dockerfile));
  // What a push printed is how often it was tried.
  const lines = isOfPush(reason) ? [] : (failed?.lastLines ?? []);
  const output = lines.filter((line) => line !== "");
  const parts = [
    failed?.name.isInstruction === true
      ? `step [${failed.name.place}] failed: ${failed.name.text}`
      : output.length > 0 && failed !== undefined
        ? `failed: ${failed.name.text}`
        : undefined,
    ...(output.length > 0 ? ["the end of its output:", ...output.map((line) => `  ${line}`)] : []),
    ...shown,
    explain(maskCredentials(reason.trim()), dockerfile),
  ];
  return parts.filter((part) => part !== undefined && part !== "").join("\n");
}

function isOfPush(reason: string): boolean {
  return reason.includes("failed to push ");
}

/** buildctl names the file as BuildKit knows it: without its folder. */
function nameDockerfile(line: string, dockerfile: ShownDockerfile | undefined): string {
  const [, number] = /^[^\s:|]+:(\d+)$/.exec(line) ?? [];
  return number === undefined || dockerfile === undefined ? line : `${dockerfile.name}:${number}`;
}

interface Explanation {
  readonly sign: RegExp;
  readonly say: (reason: string, dockerfile: ShownDockerfile | undefined) => string;
}

const explanations: readonly Explanation[] = [
  {
    sign: /did not complete successfully: exit code: 137/,
    say: (reason) => `${reason}; 137 means it was killed (SIGKILL), as a rule for want of memory`,
  },
  {
    sign: /target stage "?([^\s"]+)"? could not be found/,
    say: (reason, dockerfile) => `${reason}; ${stagesOf(dockerfile)}`,
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

function explain(reason: string, dockerfile: ShownDockerfile | undefined): string {
  const plain = reason.replace(/^failed to solve: /, "").replace(/^rpc error: code = \w+ desc = /, "");
  return explanations.find(({ sign }) => sign.test(plain))?.say(plain, dockerfile) ?? plain;
}

function stagesOf(dockerfile: ShownDockerfile | undefined): string {
  const stages = Array.from(
    (dockerfile?.text ?? "").matchAll(/^\s*FROM\s+.*\s+AS\s+(\S+)\s*$/gim),
    ([, name]) => name,
  );
  return stages.length > 0
    ? `the Dockerfile's stages: ${stages.join(", ")}`
    : "the Dockerfile names no stage";
}
