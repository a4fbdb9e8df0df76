import type { IncomingMessage } from "node:http";
import { maskCredentials, withoutQueries } from "../host/mask-credentials.ts";
import type { StepContext } from "../host/step-context.ts";
import type { Repository } from "../image/reference.ts";
import type { RegistryAccess } from "./access.ts";
import { Authorization } from "./authorization.ts";
import { readAll } from "./body.ts";
import { type Connections, type Exchange, openConnections, serverOf } from "./connection.ts";
import type { Credentials } from "./credentials.ts";
import {
  checkRedirect,
  isSameServer,
  redirectLimit,
  redirectStatuses,
  redirectTarget,
} from "./redirect-policy.ts";
import { AttemptFailure, statusFailure } from "./registry-error.ts";
import type { RepositoryPlace } from "./repository-place.ts";
import { Retrier } from "./retrier.ts";
import { retryAfterOf, retryPolicy, type Timeouts } from "./retry-policy.ts";

/** A request below `/v2/<repository>/`. */
export interface RegistryRequest {
  readonly method: Exchange["method"];
  /** A path below the repository, or the URL that the registry gave as a `Location`. */
  readonly path: string | URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** Statuses that the caller handles. Any other status is a failure. */
  readonly expected: readonly number[];
}

/** A response whose body hasn't been read yet. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: IncomingMessage;
  /** The request's method and URL, for messages. */
  readonly asked: string;
  /** The URL that answered: after redirects it isn't the one that was requested. */
  readonly url: URL;
  /** The `Authorization` header that was sent. */
  readonly shown: string | undefined;
}

export interface ClientOptions {
  readonly repository: Repository;
  readonly place: RepositoryPlace;
  readonly access: RegistryAccess;
  readonly step: StepContext;
  readonly timeouts: Timeouts;
  readonly credentials: (signal: AbortSignal) => Promise<Credentials>;
}

/** Bytes that are read of an error's body. */
const errorLimit = 64 * 1024;

/** An HTTP client for one repository of a registry (OCI distribution-spec), with one user's credentials. */
export class RegistryClient implements Disposable {
  readonly retrier: Retrier;
  readonly timeouts: Timeouts;
  readonly #connections: Connections;
  readonly #authorization: Authorization;
  readonly #options: ClientOptions;
  #origin: Promise<string> | undefined;
  #credentials: Promise<Credentials> | undefined;

  constructor(options: ClientOptions) {
    const { repository, access, step, timeouts, place } = options;
    this.#options = options;
    this.timeouts = timeouts;
    this.retrier = new Retrier({ policy: retryPolicy(timeouts), place, log: step.log });
    this.#connections = openConnections(access, repository.host, step.env);
    this.#authorization = new Authorization({
      connections: this.#connections,
      timeouts,
      credentials: () => (this.#credentials ??= options.credentials(step.signal)),
      scope: (method) => `repository:${repository.path}:${isReading(method) ? "pull" : "pull,push"}`,
    });
  }

  /**
   * Makes one attempt. Renews an expired token, and follows redirects that are safe.
   * @throws AttemptFailure
   */
  async attempt(request: RegistryRequest, signal: AbortSignal): Promise<Answer> {
    const exchange = await this.#exchange(request, signal);
    let answer = await this.#follow(exchange, signal);
    if (answer.status === 401 && (await this.#isRegistry(answer.url))) {
      answer = await this.#authorized(exchange, answer, signal);
    }
    this.retrier.known = true;
    if (request.expected.includes(answer.status)) return answer;
    throw await this.#failure(answer);
  }

  /**
   * Makes attempts until one succeeds.
   * @throws RegistryError
   */
  request(request: RegistryRequest, signal: AbortSignal): Promise<Answer> {
    return this.retrier.run(signal, () => this.attempt(request, signal));
  }

  /**
   * Reads a response's body completely.
   * @throws AttemptFailure if it has more than `limit` bytes, is cut or stalls
   */
  read({ body, asked }: Answer, limit: number): Promise<Buffer> {
    return readAll(body, { asked, limit, stall: this.timeouts.stall });
  }

  async #exchange(
    { method, path, headers = {}, body }: RegistryRequest,
    signal: AbortSignal,
  ): Promise<Exchange> {
    const { repository } = this.#options;
    this.#origin ??= this.#findOrigin(signal).catch((thrown: unknown) => {
      this.#origin = undefined;
      throw thrown;
    });
    const origin = await this.#origin;
    const exchange = { method, headers, ...(body === undefined ? {} : { body }) };
    if (!(path instanceof URL))
      return { ...exchange, url: new URL(`${origin}/v2/${repository.path}/${path}`) };
    const within = await checkRedirect(new URL(origin), path, `${method} below ${origin}: the link to`);
    return { ...exchange, url: path, within };
  }

  /** Whether a URL is the registry's own. Only there its password or token is sent. */
  async #isRegistry(url: URL): Promise<boolean> {
    const origin = await this.#origin;
    return origin !== undefined && isSameServer(new URL(origin), url);
  }

  /**
   * Renews a refused token or password once, and repeats the request. If that is refused too, the credentials don't
   * allow it.
   */
  async #authorized(exchange: Exchange, refused: Answer, signal: AbortSignal): Promise<Answer> {
    refused.body.resume();
    await this.#authorization.renew(refused.body, exchange, { used: refused.shown, signal });
    const answer = await this.#follow(exchange, signal);
    if (answer.status !== 401 || !(await this.#isRegistry(answer.url))) return answer;
    const isTooLittle = (answer.headers["www-authenticate"] ?? "").includes("insufficient_scope");
    const failure = await this.#failure(answer);
    throw isTooLittle ? new AttemptFailure(failure.message, "forbidden") : failure;
  }

  async #follow(start: Exchange, signal: AbortSignal): Promise<Answer> {
    let exchange = start;
    for (let hops = 0; ; hops++) {
      const { header } = this.#authorization;
      const shown = (await this.#isRegistry(exchange.url)) ? header : undefined;
      const headers = { ...exchange.headers, ...(shown === undefined ? {} : { authorization: shown }) };
      const { stall } = this.timeouts;
      const body = await this.#connections.send({ ...exchange, headers }, { signal, stall });
      const { location } = body.headers;
      const status = body.statusCode ?? 0;
      const asked = `${exchange.method} ${exchange.url.origin}${exchange.url.pathname}`;
      const isRedirect = redirectStatuses.has(status) && location !== undefined && isReading(exchange.method);
      if (!isRedirect) return { status, headers: body.headers, body, asked, url: exchange.url, shown };
      body.resume();
      if (hops >= redirectLimit)
        throw new AttemptFailure(`${asked}: more than ${redirectLimit} redirects`, "other");
      const next = URL.parse(location, exchange.url.href);
      if (next === null) throw new AttemptFailure(`${asked}: redirected to what is not a URL`, "other");
      const within = await checkRedirect(exchange.url, next, `${asked}: the redirect to`);
      exchange = { ...exchange, url: next, within: within ?? exchange.within };
    }
  }

  /**
   * The failure for a response, with the registry's messages: `{"errors": [{code, message}]}` (distribution-spec,
   * error codes).
   */
  async #failure(answer: Answer): Promise<AttemptFailure> {
    const { status, headers, asked } = answer;
    const text = await this.read(answer, errorLimit).catch(() => Buffer.alloc(0));
    const retryAfter = retryAfterOf(headers["retry-after"], Date.now());
    const elsewhere = (await this.#isRegistry(answer.url)) ? undefined : answer.url.host;
    const said = wordsOf(text, this.#authorization.secrets);
    const redirectTo = redirectTarget(status, headers.location, answer.url)?.origin;
    return statusFailure(status, { asked, said, retryAfter, elsewhere, redirectTo });
  }

  /**
   * `insecure` stands for both https that isn't checked and plain http. As in BuildKit, a first request finds out
   * which. Only an answer settles it: a registry that is away for a moment is asked again in both ways.
   * @throws AttemptFailure if there is no answer
   */
  async #findOrigin(signal: AbortSignal): Promise<string> {
    const { repository, access } = this.#options;
    const host = serverOf(repository.host);
    if (access.hosts.get(repository.host)?.insecure !== true) return `https://${host}`;
    const statusOf = async (origin: string) => {
      const options = { signal, stall: Math.min(this.timeouts.stall, 5_000) };
      const url = new URL(`${origin}/v2/`);
      const answer = await this.#connections.send({ method: "GET", url, headers: {} }, options);
      answer.resume();
      return answer.statusCode ?? 0;
    };
    try {
      await statusOf(`https://${host}`);
      return `https://${host}`;
    } catch (thrown) {
      signal.throwIfAborted();
      const isPlain = thrown instanceof AttemptFailure && thrown.fault === "plain http";
      // A server that uses TLS answers 400 to plain http.
      if (isPlain || (await statusOf(`http://${host}`)) !== 400) return `http://${host}`;
      throw thrown;
    }
  }

  [Symbol.dispose](): void {
    this.#connections[Symbol.dispose]();
  }
}

function isReading(method: Exchange["method"]): boolean {
  return method === "GET" || method === "HEAD";
}

/**
 * The messages of a registry, or of the store of blobs to which it redirects. They are masked before they are
 * shortened, so that no half of a token is left unmasked.
 */
function wordsOf(text: Buffer, secrets: readonly string[]): string {
  const said = storeWords(text) ?? registryWords(text);
  // Makes it one line, without control characters that a terminal would obey.
  return withoutQueries(maskCredentials(said, secrets))
    .replaceAll(/[\s\p{Cc}]+/gu, " ")
    .slice(0, 300);
}

function registryWords(text: Buffer): string {
  try {
    const { errors } = JSON.parse(text.toString("utf8")) as { errors?: readonly Record<string, unknown>[] };
    return (errors ?? []).map(({ code, message }) => [code, message].filter(Boolean).join(": ")).join("; ");
  } catch {
    return "";
  }
}

/** The words of S3, Google Cloud Storage and Azure: `<Error><Code>AccessDenied</Code><Message>…</Message>`. */
function storeWords(text: Buffer): string | undefined {
  const [, code, message] =
    /<Error>\s*<Code>([^<]*)<\/Code>\s*<Message>([^<]*)<\/Message>/.exec(text.toString("utf8")) ?? [];
  return code === undefined ? undefined : `${code}: ${message}`;
}
