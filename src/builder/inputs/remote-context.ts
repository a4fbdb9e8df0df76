import type { AuthorNames } from "../../host/author-names.ts";
import { UserError } from "../../host/errors.ts";
import { parseReference } from "../../image/reference.ts";
import type { BuildOptions } from "../plan/build-options.ts";

/**
 * A context that BuildKit fetches. Its URL must not hold a secret, because it is shown in arguments, step names and
 * the provenance.
 */
export interface RemoteContext {
  readonly kind: "git" | "http" | "image";
  readonly url: string;
  /** The URL's user and password, as a secret with the id that BuildKit looks for. */
  readonly login: Login | undefined;
}

export interface Login {
  readonly id: string;
  /** The value of an `Authorization` header. */
  readonly text: string;
}

/**
 * The query parameters that BuildKit accepts in a git URL (BuildKit, frontend/dockerfile/dfgitutil/git_ref.go). It
 * refuses all others.
 */
const gitQueries = [
  "ref",
  "tag",
  "branch",
  "subdir",
  "checksum",
  "commit",
  "keep-git-dir",
  "submodules",
  "mtime",
  "fetch-by-commit",
];

/**
 * Reads a context that isn't among the inputs (Dockerfile reference, "remote context"). Returns undefined if the
 * text is a path. Pure.
 * @throws UserError for a URL that BuildKit doesn't know or that would show a secret; the error doesn't quote
 * secrets
 */
export function readRemoteContext(
  text: string,
  subject: string,
  names: AuthorNames,
): RemoteContext | undefined {
  if (/^git@[^/]+:/.test(text)) {
    checkQuery("git", text, { subject, names });
    return { kind: "git", url: text, login: undefined };
  }
  const [, given, rest = ""] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/is.exec(text) ?? [];
  const scheme = given?.toLowerCase();
  switch (scheme) {
    case undefined:
      if (!/^[^/]+:[^/]*@/.test(text)) return undefined;
      throw new UserError(
        `${subject}: looks like a URL without its scheme; expected a path of the inputs, or a URL such as https://….git`,
      );
    case "oci-layout":
      return undefined;
    case "docker-image":
      if (rest !== "scratch") parseReference(rest, subject);
      return { kind: "image", url: text, login: undefined };
    case "git":
    case "ssh":
      if (/^[^/]*:[^/]*@/.test(rest)) {
        throw new UserError(
          `${subject}: a ${scheme}:// URL with a password, which git doesn't use: take it out, and give a key under ${names.quoted("ssh")}, or an https:// URL`,
        );
      }
      checkQuery("git", text, { subject, names });
      return { kind: "git", url: text, login: undefined };
    case "http":
    case "https":
      return webContext(scheme, rest, { subject, names });
    default:
      throw new UserError(
        `${subject}: BuildKit fetches nothing by ${scheme}://; expected a path of the inputs, or a git URL (https://….git, ssh://, git@host:…)`,
      );
  }
}

/**
 * Reads a build's context. Returns undefined if it is a path.
 * @throws UserError as {@link readRemoteContext}, and for a URL that isn't a git repository's
 */
export function readContextUrl(text: string, names: AuthorNames): RemoteContext | undefined {
  const subject = names.param("context");
  const remote = readRemoteContext(text, subject, names);
  if (remote === undefined || remote.kind === "git") return remote;
  throw new UserError(
    `${subject}: ${JSON.stringify(remote.url.replace(/[?#].*$/, ""))} is not a git URL: a git repository over https ends in ".git"; expected a folder of the inputs or a git URL`,
  );
}

/**
 * The logins in the URLs of a build's contexts, by the id of the secret that BuildKit reads them from. BuildKit takes
 * only one login for each host. Pure.
 * @throws UserError if two contexts have different logins for a host, or if the author's secrets already have one
 */
export function contextLogins(
  { context, contexts, secrets }: Pick<BuildOptions, "context" | "contexts" | "secrets">,
  names: AuthorNames,
): ReadonlyMap<string, string> {
  const texts = new Map<string, string>();
  const remotes = [
    readContextUrl(context, names),
    ...Object.entries(contexts).map(([name, text]) => readRemoteContext(text, `contexts.${name}`, names)),
  ];
  for (const { id, text } of remotes.flatMap((remote) => remote?.login ?? [])) {
    const isSecret = Object.hasOwn(secrets, id);
    if (isSecret || (texts.get(id) ?? text) !== text)
      throw new UserError(
        `${names.param("context")}: a URL has a user and a password, and ${isSecret ? `${names.param("secrets", id)} is another` : "another context has another"} for the same host: remove one`,
      );
    texts.set(id, text);
  }
  return texts;
}

/** What messages call a URL, and what else they name. */
interface ShownUrl {
  readonly subject: string;
  readonly names: AuthorNames;
}

function webContext(scheme: "http" | "https", rest: string, told: ShownUrl): RemoteContext {
  const { subject } = told;
  const [, authority = "", path = ""] = /^([^/?#]*)(.*)$/s.exec(rest) ?? [];
  const at = authority.lastIndexOf("@");
  const host = authority.slice(at + 1);
  const url = `${scheme}://${host}${path}`;
  if (!URL.canParse(url) || /\s/.test(url))
    throw new UserError(
      `${subject}: expected a URL, ${scheme}://host[:port]/path; found one with blanks, or with an invalid host or port`,
    );
  const kind = new URL(url).pathname.endsWith(".git") ? "git" : "http";
  checkQuery(kind, url, told);
  if (at === -1) return { kind, url, login: undefined };
  const [user = "", ...password] = authority.slice(0, at).split(":");
  const basic = [user, password.join(":")].map((part) => decoded(part, subject)).join(":");
  const header = `Basic ${Buffer.from(basic).toString("base64")}`;
  // The ids are BuildKit's: client/llb/source.go and source/git/source.go for git; source/http/source.go, which
  // ignores the port, for http.
  const id = kind === "git" ? `GIT_AUTH_HEADER.${host}` : `HTTP_AUTH_HEADER_${hostname(url)}`;
  return { kind, url, login: { id, text: header } };
}

/** The host in BuildKit's form: an IPv6 address has no brackets. */
function hostname(url: string): string {
  return new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
}

function decoded(part: string, subject: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new UserError(
      `${subject}: the URL's user or password has a "%" that begins no escape sequence; write it as %25`,
    );
  }
}

function checkQuery(kind: "git" | "http", url: string, { subject, names: author }: ShownUrl): void {
  const [, query = ""] = /^[^?#]*\?([^#]*)/.exec(url) ?? [];
  const names = [...new URLSearchParams(query).keys()].map((name) => name.slice(0, 60));
  if (kind === "git") {
    const strange = names.find((name) => !gitQueries.includes(name));
    if (strange === undefined) return;
    throw new UserError(
      `${subject}: the query of a git URL has ${JSON.stringify(strange)}; expected ${gitQueries.slice(0, 5).join(", ")} …; a token goes under ${author.secretText("GIT_AUTH_TOKEN")}`,
    );
  }
  const secret = names.find((name) =>
    /token|secret|passw|signature|credential|api_?key|^sig$|^key$/i.test(name),
  );
  if (secret === undefined) return;
  throw new UserError(
    `${subject}: the URL's query has ${JSON.stringify(secret)}, which logs and provenance would show: fetch it in a step before, or give ${author.secretText(`HTTP_AUTH_TOKEN_${hostname(url)}`)}`,
  );
}
