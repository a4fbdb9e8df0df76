import type { BuildDescription } from "./build-description.ts";
import type { StepName } from "./step.ts";

/**
 * Explains why a git repository or a file of a web server can't be fetched, and what to change. Returns undefined for
 * any other failure. Pure.
 * @param reason without BuildKit's wrapping
 */
export function explainFetch(
  reason: string,
  { names }: Pick<BuildDescription, "names">,
  step: StepName | undefined,
): string | undefined {
  const plain = reason.replace(/^(?:failed to read dockerfile: |failed to load cache key: )+/, "");
  const git = `the git repository${sourceIn(step)}`;
  const [, ref] = /^repository does not contain ref (\S+?)(?:,|$)/.exec(plain) ?? [];
  if (ref !== undefined)
    return `${git} has no branch, tag or commit ${JSON.stringify(ref)}: check what follows the "#" in its URL`;
  const [, folder] = /^invalid subdir (\S+): /.exec(plain) ?? [];
  if (folder !== undefined)
    return `${git} has no folder ${JSON.stringify(folder)}: check what follows the ":" after the "#" in its URL`;
  const [, file] = /^open (.+): no such file or directory$/.exec(plain) ?? [];
  if (file !== undefined && reason.startsWith("failed to read dockerfile: "))
    return `the git repository of the context has no file ${JSON.stringify(file)}: check ${names.quoted("dockerfile")}, which is a path inside the repository`;
  const [, key] = /^no SSH key "([^"]*)" forwarded from the client$/.exec(plain) ?? [];
  if (key !== undefined && plain !== reason)
    return `${git} is read with an SSH key, and none is given: add ${names.sshKey(key || "default")}, or use an https:// URL`;
  const [, said] = /git stderr:\s*(.*?)\s*(?::\s*)?exit status \d+$/s.exec(plain) ?? [];
  if (said !== undefined)
    return `${git} can't be read (${said.trim().replaceAll(/\s*\n\s*/g, "; ")}): ${gitAdvice(said, names)}`;
  return explainDownload(plain);
}

/** The URL in the name of the step that fetches it. */
function sourceIn(step: StepName | undefined): string {
  const [, url] = /(?:load git source |^ADD (?:--\S+ )*)(\S+)/.exec(step?.text ?? "") ?? [];
  return url === undefined ? "" : ` ${url.replace(/#.*$/, "")}`;
}

function gitAdvice(said: string, names: BuildDescription["names"]): string {
  if (/could not read Username|Authentication failed|\b40[13]\b/.test(said))
    return `check the URL; for a private repository give a token: ${names.secretText("GIT_AUTH_TOKEN")}`;
  if (/Permission denied \(publickey/.test(said))
    return `check that the key under ${names.quoted("ssh")} may read the repository`;
  if (/not found|does not exist|not appear to be a git repository/i.test(said)) return "check the URL";
  return "check the URL, and that BuildKit can reach the host";
}

function explainDownload(plain: string): string | undefined {
  const [, status = ""] = /^invalid response status (\d+)/.exec(plain) ?? [];
  if (/^40[13]$/.test(status))
    return `the server refuses it with status ${status}: check the URL; a token for it can be given as the secret HTTP_AUTH_TOKEN_host, with the host's name at the end`;
  if (status !== "") return `the server answers with status ${status}: check the URL`;
  const [, url, why] = /^(?:Get|Head) "([^"]*)": (.*)$/s.exec(plain) ?? [];
  if (url !== undefined)
    return `${url} can't be fetched (${why}): check the URL, and that BuildKit can reach the host`;
  const [, found, expected] = /^digest mismatch (\S+): (\S+)$/.exec(plain) ?? [];
  if (found === undefined) return undefined;
  return `the file has the digest ${found}, but --checksum says ${expected}: check the URL, or correct --checksum`;
}
