import { UserError } from "../host/errors.ts";
import { type Digest, parseDigest } from "./digest.ts";

/** A repository of a registry by its full name. */
export interface Repository {
  /** `docker.io`, `registry.example:5000`, `[::1]:5000`: the key in `RegistryAccess`. */
  readonly host: string;
  /** `library/debian`, `team/app`. */
  readonly path: string;
}

/** An image in a registry, as in `FROM`. If it names one image exactly, it has a tag, a digest or both. */
export interface Reference extends Repository {
  readonly tag: string | undefined;
  readonly digest: Digest | undefined;
}

// The grammar is that of github.com/distribution/reference, which Docker, BuildKit and containerd share.
const hostForm =
  /^(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*)(?::[0-9]{1,5})?$/i;
const pathPart = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagForm = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const nameLengthLimit = 255;

/**
 * Reads `[host[:port]/]path[:tag][@digest]`. Without a host, the host is docker.io. There a path of one part is put
 * under `library/`.
 * @throws UserError naming `subject`
 */
export function parseReference(text: string, subject: string): Reference {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(text)?.[0];
  // The message doesn't repeat the text, because a URL may hold a password.
  if (scheme !== undefined) throw new UserError(`${subject}: an image name has no scheme; remove ${scheme}`);
  const at = text.indexOf("@");
  if (text.indexOf("@", at + 1) !== -1) throw invalidReference(subject, text, 'it has more than one "@"');
  if (text.indexOf("/", at) !== -1 && at !== -1)
    throw invalidReference(subject, text, "a user and a password can't be part of it; expected host[:port]");
  const beforeDigest = at === -1 ? text : text.slice(0, at);
  const digest = at === -1 ? undefined : parseDigest(text.slice(at + 1), subject);
  const colon = beforeDigest.lastIndexOf(":");
  // A colon before the last slash belongs to a port or to an IPv6 address.
  const hasTag = colon > beforeDigest.lastIndexOf("/");
  const tag = hasTag ? parseTag(beforeDigest.slice(colon + 1), subject) : undefined;
  return {
    ...parseRepositoryName(hasTag ? beforeDigest.slice(0, colon) : beforeDigest, subject),
    tag,
    digest,
  };
}

/**
 * Reads a repository's name, which may have neither tag nor digest.
 * @throws UserError naming `subject`
 */
export function parseRepository(text: string, subject: string): Repository {
  const { host, path, tag, digest } = parseReference(text, subject);
  if (tag !== undefined) throw invalidReference(subject, text, `leave out the tag ${JSON.stringify(tag)}`);
  if (digest !== undefined) throw invalidReference(subject, text, "leave out the digest");
  return { host, path };
}

/**
 * Checks a tag.
 * @throws UserError naming `subject`
 */
export function parseTag(text: string, subject: string): string {
  if (tagForm.test(text)) return text;
  // Other tools take whole references for tags.
  const [, tag] = /^[^\s:]+(?::\d+\/[^\s:]+)?:(\w[\w.-]{0,127})$/.exec(text) ?? [];
  const hint = tag === undefined ? "" : `; a tag stands without its repository: ${tag}`;
  throw new UserError(
    `${subject}: ${JSON.stringify(text)} is not a tag; expected up to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"${hint}`,
  );
}

/** The full name: `docker.io/library/debian`. */
export function formatRepository({ host, path }: Repository): string {
  return `${host}/${path}`;
}

/** The full reference: `docker.io/library/debian:bookworm@sha256:…`. */
export function formatReference({ tag, digest, ...repository }: Reference): string {
  return `${formatRepository(repository)}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** The name as Docker shows it: without `docker.io/`, and without `library/` there. */
export function familiarRepository({ host, path }: Repository): string {
  if (host !== "docker.io") return `${host}/${path}`;
  const name = path.startsWith("library/") ? path.slice("library/".length) : path;
  return path.startsWith("library/") && name.includes("/") ? path : name;
}

/** The reference as Docker shows it and BuildKit looks it up: `alpine` for `docker.io/library/alpine:latest`. */
export function familiarName({ tag, digest, ...repository }: Reference): string {
  const isLatest = tag === undefined || (tag === "latest" && digest === undefined);
  const end = digest === undefined ? "" : `@${digest}`;
  return `${familiarRepository(repository)}${isLatest ? "" : `:${tag}`}${end}`;
}

function parseRepositoryName(text: string, subject: string): Repository {
  if (text === "") throw invalidReference(subject, text, "expected host/path");
  if (text.length > nameLengthLimit)
    throw invalidReference(subject, text, `a name has at most ${nameLengthLimit} characters`);
  const slash = text.indexOf("/");
  const first = slash === -1 ? "" : text.slice(0, slash);
  const named = /[.:[\]A-Z]/.test(first) || first === "localhost";
  const host = named ? parseHost(first, text, subject) : "docker.io";
  const path = named ? text.slice(slash + 1) : text;
  checkPath(path, text, subject);
  if (!named && slash === -1 && /^[0-9a-f]{64}$/.test(path)) {
    throw invalidReference(subject, text, "64 hex digits alone are an image's ID, not a name");
  }
  return { host, path: host === "docker.io" && !path.includes("/") ? `library/${path}` : path };
}

/**
 * Reads a registry's host as references name it: `docker.io`, `registry.example:5000`.
 * @throws UserError naming `subject`
 */
export function parseReferenceHost(host: string, subject: string): string {
  if (!isHost(host)) {
    const found = host.includes("@") ? "a user and a password" : JSON.stringify(host.slice(0, 300));
    throw new UserError(
      `${subject}: expected a registry's host[:port] without scheme and path; found ${found}`,
    );
  }
  return usualHost(host);
}

function parseHost(host: string, text: string, subject: string): string {
  if (!isHost(host)) {
    const what = host.includes("@")
      ? "a user and a password can't be part of it; expected host[:port]"
      : `${JSON.stringify(host)} is not host[:port]`;
    throw invalidReference(subject, text, what);
  }
  return usualHost(host);
}

function isHost(host: string): boolean {
  const port = /:([0-9]+)$/.exec(host)?.[1];
  return hostForm.test(host) && !(port !== undefined && Number(port) > 65535);
}

function usualHost(host: string): string {
  return /^(?:index|registry-1)\.docker\.io$/i.test(host) ? "docker.io" : host;
}

function checkPath(path: string, text: string, subject: string): void {
  const wrong = path.split("/").find((part) => !pathPart.test(part));
  if (wrong === undefined) return;
  if (pathPart.test(wrong.toLowerCase())) {
    throw invalidReference(
      subject,
      text,
      `write ${JSON.stringify(wrong)} in lower case: ${JSON.stringify(wrong.toLowerCase())}`,
    );
  }
  throw invalidReference(
    subject,
    text,
    `the part ${JSON.stringify(wrong)} must be lower-case letters and digits, with single ".", "_", "__" or "-" between them`,
  );
}

function invalidReference(subject: string, text: string, what: string): UserError {
  // The text isn't shown if it may hold a user and a password.
  const shown = /@(?!sha256:[^@]*$)/.test(text) ? "the value" : JSON.stringify(text.slice(0, 300));
  return new UserError(`${subject}: ${shown} is not an image name: ${what}`);
}
