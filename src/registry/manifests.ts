import { type Digest, digestOf } from "../image/digest.ts";
import { mediaTypes } from "../image/media-types.ts";
import { documentLimit } from "../image/verify.ts";
import type { Answer, RegistryClient, RegistryRequest } from "./client.ts";
import { AttemptFailure } from "./registry-error.ts";

const manifestTypes = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerIndex,
  mediaTypes.dockerManifest,
].join(", ");

/** Largest page of tags, in bytes. */
const pageLimit = 4 * 1024 * 1024;
const pagesLimit = 1000;

/**
 * The bytes of a manifest or index, by tag or digest. They are checked against the digest in the response's header,
 * if there is one (distribution-spec, pulling manifests). The caller checks them against the digest that it asked
 * for.
 * @throws RegistryError
 */
export function getManifest(client: RegistryClient, reference: string, signal: AbortSignal): Promise<Buffer> {
  return client.retrier.run(signal, async () => {
    const answer = await client.attempt(
      { method: "GET", ...manifestRequest(reference), expected: [200] },
      signal,
    );
    const bytes = await client.read(answer, documentLimit);
    const [told, digest] = [digestTold(answer), digestOf(bytes)];
    if (told?.startsWith("sha256:") === true && told !== digest) {
      throw new AttemptFailure(
        `${answer.asked}: the registry gives it digest ${told}, but its bytes have ${digest}; it was damaged on the way or there`,
        "other",
      );
    }
    return bytes;
  });
}

/**
 * Digest of the manifest that a tag or digest leads to, if any.
 * @throws AttemptFailure
 */
async function digestAt(
  client: RegistryClient,
  reference: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  let answer = await askHead(client, reference, signal);
  // HEAD may be forbidden, and the digest's header is optional.
  if (answer.status === 405 || (answer.status === 200 && digestTold(answer) === undefined))
    answer = await askGet(client, reference, signal);
  const told = digestTold(answer);
  if (answer.status === 200 && told === undefined) return digestOf(await client.read(answer, documentLimit));
  answer.body.resume();
  return answer.status === 404 ? undefined : told;
}

function digestTold({ headers }: Answer): string | undefined {
  const told = headers["docker-content-digest"];
  return typeof told === "string" ? told : undefined;
}

/** Asks for a manifest's headers. The status is 405 if the registry forbids HEAD. */
async function askHead(client: RegistryClient, reference: string, signal: AbortSignal): Promise<Answer> {
  const request = { method: "HEAD", ...manifestRequest(reference), expected: [200, 404, 405] } as const;
  const answer = await client.attempt(request, signal);
  answer.body.resume();
  return answer;
}

function askGet(client: RegistryClient, reference: string, signal: AbortSignal): Promise<Answer> {
  return client.attempt({ method: "GET", ...manifestRequest(reference), expected: [200, 404] }, signal);
}

function manifestRequest(reference: string): Pick<RegistryRequest, "path" | "headers"> {
  return { path: `manifests/${reference}`, headers: { accept: manifestTypes } };
}

/**
 * Digest of the manifest or index that a tag leads to. Undefined if there is no such tag.
 * @throws RegistryError
 */
export function taggedDigest(
  client: RegistryClient,
  tag: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  return client.retrier.run(signal, () => digestAt(client, tag, signal));
}

/**
 * Whether there is such a tag.
 * @throws RegistryError
 */
export function hasTag(client: RegistryClient, tag: string, signal: AbortSignal): Promise<boolean> {
  return client.retrier.run(signal, async () => {
    const head = await askHead(client, tag, signal);
    if (head.status !== 405) return head.status === 200;
    const answer = await askGet(client, tag, signal);
    answer.body.resume();
    return answer.status === 200;
  });
}

/**
 * Stores a manifest or index under a tag, or under its digest. If the registry answers with an error that may pass
 * but has stored it, that counts as success.
 * @throws RegistryError
 */
export function putManifest(
  client: RegistryClient,
  { document, mediaType, tag }: { document: Uint8Array; mediaType: string; tag?: string },
  signal: AbortSignal,
): Promise<void> {
  const digest = digestOf(document);
  const reference = tag ?? digest;
  const request = {
    method: "PUT",
    path: `manifests/${reference}`,
    headers: { "content-type": mediaType },
    body: document,
    expected: [200, 201, 202],
  } as const;
  return client.retrier.run(signal, async () => {
    try {
      const answer = await client.attempt(request, signal);
      answer.body.resume();
    } catch (thrown) {
      if (!(thrown instanceof AttemptFailure) || !thrown.retryable) throw thrown;
      const stored = await digestAt(client, reference, signal).catch(() => undefined);
      if (stored !== digest) throw thrown;
    }
  });
}

/**
 * Deletes a manifest or index by its digest, and the tag that leads to it. It isn't an error if there is none. Not
 * retried.
 * @throws AttemptFailure
 */
export async function deleteManifest(
  client: RegistryClient,
  { digest, tag }: { digest: Digest; tag: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  await deleteReference(client, digest, signal);
  // Most registries delete the tag along with the manifest. In others it has to be deleted separately
  // (distribution-spec, deleting tags).
  if (tag !== undefined && (await digestAt(client, tag, signal)) === digest)
    await deleteReference(client, tag, signal);
}

async function deleteReference(
  client: RegistryClient,
  reference: string,
  signal: AbortSignal,
): Promise<void> {
  const answer = await client.attempt(
    { method: "DELETE", path: `manifests/${reference}`, expected: [200, 202, 204, 404] },
    signal,
  );
  answer.body.resume();
}

/**
 * All tags, from all pages of the registry's list (up to {@link pagesLimit}). Empty if the repository doesn't
 * exist.
 */
export async function listTags(client: RegistryClient, signal: AbortSignal): Promise<string[]> {
  const tags: string[] = [];
  let path: string | URL | undefined = "tags/list";
  for (let page = 0; path !== undefined && page < pagesLimit; page++) {
    const next: string | URL = path;
    const { names, link }: TagPage = await client.retrier.run(signal, () => tagPage(client, next, signal));
    tags.push(...names);
    path = link;
  }
  return tags;
}

interface TagPage {
  readonly names: readonly string[];
  readonly link: URL | undefined;
}

async function tagPage(client: RegistryClient, path: string | URL, signal: AbortSignal): Promise<TagPage> {
  const answer = await client.attempt({ method: "GET", path, expected: [200, 404] }, signal);
  const bytes = await client.read(answer, pageLimit);
  if (answer.status === 404) return { names: [], link: undefined };
  // RFC 8288; distribution-spec, content discovery.
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(String(answer.headers["link"] ?? ""))?.[1];
  const names = tagsIn(bytes, answer.asked);
  if (target === undefined) return { names, link: undefined };
  const link = URL.parse(target, answer.url.href);
  if (link?.host !== answer.url.host)
    throw new AttemptFailure(
      `${answer.asked}: the link to the next page of tags leads elsewhere, to ${link?.origin ?? "what is not a URL"}`,
      "other",
    );
  // A registry behind a proxy that adds TLS may not know of it. The parts are set one by one: as a relative URL, a
  // path that begins with "//" would name another host.
  const next = new URL(answer.url);
  next.pathname = link.pathname;
  next.search = link.search;
  return { names, link: next };
}

function tagsIn(bytes: Buffer, asked: string): string[] {
  try {
    const { tags } = JSON.parse(bytes.toString("utf8")) as { tags?: readonly unknown[] | null };
    return (tags ?? []).filter((tag): tag is string => typeof tag === "string");
  } catch (cause) {
    throw new AttemptFailure(`${asked}: expected JSON with "tags"`, "other", { cause });
  }
}

/**
 * Proves that this user may push: starts an upload and cancels it (distribution-spec, pushing blobs). Some
 * registries can't cancel an upload, and discard it after a while.
 * @throws RegistryError
 */
export async function proveWritable(client: RegistryClient, signal: AbortSignal): Promise<void> {
  const begun = await client.request({ method: "POST", path: "blobs/uploads/", expected: [202] }, signal);
  begun.body.resume();
  const { location } = begun.headers;
  if (location === undefined || !URL.canParse(location, begun.url.href)) return;
  const upload = new URL(location, begun.url);
  if (upload.origin !== begun.url.origin) return;
  const cancelled = await client
    .attempt({ method: "DELETE", path: upload, expected: [204] }, signal)
    .catch(() => undefined);
  cancelled?.body.resume();
  signal.throwIfAborted();
}
