import type { IncomingMessage } from "node:http";
import { readAll } from "./body.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Connections, Exchange } from "./connection.ts";
import type { Credentials } from "./credentials.ts";
import { checkRedirect, isSameServer, redirectLimit, redirectTarget } from "./redirect-policy.ts";
import { AttemptFailure, statusFailure } from "./registry-error.ts";
import { isRetryableStatus, retryAfterOf, type Timeouts } from "./retry-policy.ts";

/** Largest response of a token server, in bytes. */
const tokenLimit = 64 * 1024;
const clientId = "oci-build-resource";

export interface AuthorizationOptions {
  readonly connections: Connections;
  readonly timeouts: Timeouts;
  /** Called when the registry first asks for authorization. */
  readonly credentials: () => Promise<Credentials>;
  /** The scope to request if the registry doesn't name one: `repository:team/app:pull`. */
  readonly scope: (method: Exchange["method"]) => string;
}

/** The `Authorization` header for one registry: a password, or a token that is renewed when it has expired. */
export class Authorization {
  readonly #options: AuthorizationOptions;
  /** The scopes requested so far. New tokens include them all: a token for pushing is also good for pulling. */
  readonly #scopes = new Set<string>();
  #header: string | undefined;
  #renewing: Promise<string> | undefined;
  readonly #secrets = new Set<string>();

  constructor(options: AuthorizationOptions) {
    this.#options = options;
  }

  get header(): string | undefined {
    return this.#header;
  }

  /** Passwords and tokens that were sent, to be masked in what the registry answers. */
  get secrets(): readonly string[] {
    return [...this.#secrets];
  }

  /**
   * Gets a new header after a 401, as its challenge asks.
   * @param used the header that was refused. If another request has renewed it since, nothing is done.
   * @throws AttemptFailure if there are no credentials, or the token server refuses
   */
  async renew(
    answer: IncomingMessage,
    exchange: Pick<Exchange, "method" | "url">,
    { used, signal }: { used: string | undefined; signal: AbortSignal },
  ): Promise<void> {
    if (used !== this.#header) return;
    const challenges = parseChallenges(answer.headers["www-authenticate"] ?? "");
    this.#renewing ??= this.#meet(challenges, exchange, signal).finally(() => {
      this.#renewing = undefined;
    });
    this.#header = await this.#renewing;
    this.#secrets.add(this.#header.replace(/^\w+ /, ""));
  }

  async #meet(
    challenges: readonly Challenge[],
    exchange: Pick<Exchange, "method" | "url">,
    signal: AbortSignal,
  ): Promise<string> {
    const { host } = exchange.url;
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const credentials = await this.#options.credentials();
    for (const secret of secretsOf(credentials)) this.#secrets.add(secret);
    if (bearer !== undefined) return `Bearer ${await this.#token(bearer, credentials, exchange, signal)}`;
    const wanted = challenges.map(({ scheme }) => scheme).join(", ") || "nothing it names";
    if (!challenges.some(({ scheme }) => scheme === "basic")) {
      throw new AttemptFailure(
        `${host} answers 401 and wants ${wanted}; expected Basic or Bearer`,
        "unauthorized",
      );
    }
    if (credentials.kind !== "password") {
      throw new AttemptFailure(
        `${host} requires a user name and a password, and none is given for it`,
        "unauthorized",
      );
    }
    return basic(credentials);
  }

  /** Requests a token as github.com/distribution/distribution, docs/spec/auth/token.md and oauth.md, describe. */
  async #token(
    { params }: Challenge,
    credentials: Credentials,
    { method, url }: Pick<Exchange, "method" | "url">,
    signal: AbortSignal,
  ): Promise<string> {
    const { timeouts } = this.#options;
    const realm = params.get("realm") ?? "";
    if (!URL.canParse(realm)) {
      throw new AttemptFailure(`${url.host} names a token server that is not a URL`, "unauthorized");
    }
    const server = new URL(realm);
    const within = await checkRedirect(url, server, `the token server of ${url.host},`);
    for (const scope of (params.get("scope") ?? this.#options.scope(method)).split(" ").filter(Boolean)) {
      this.#scopes.add(scope);
    }
    const wanted = [
      ...(params.has("service") ? [["service", params.get("service") ?? ""] as const] : []),
      ...Array.from(this.#scopes, (scope) => ["scope", scope] as const),
    ];
    const asked = `the token server ${server.origin}`;
    const stall = timeouts.stall;
    const exchange = { ...tokenExchange(server, wanted, credentials), within };
    const { answer, url: answered } = await this.#ask(exchange, { asked, signal });
    const body = await readAll(answer, { asked, stall, limit: tokenLimit });
    const status = answer.statusCode ?? 0;
    if (status !== 200) {
      const retryAfter = retryAfterOf(answer.headers["retry-after"], Date.now());
      // Token servers answer a wrong password with various statuses. Their text isn't shown: it might repeat the
      // password.
      if (status >= 400 && !isRetryableStatus(status)) {
        throw new AttemptFailure(`${asked} refuses to give a token (${status})`, "unauthorized");
      }
      const redirectTo = redirectTarget(status, answer.headers.location, answered)?.origin;
      throw statusFailure(status, { asked: `the request to ${asked}`, said: "", retryAfter, redirectTo });
    }
    return tokenIn(body, asked);
  }

  /** Sends a request for a token, and follows redirects of it. Another host gets no password. */
  async #ask(
    start: Exchange,
    { asked, signal }: { readonly asked: string; readonly signal: AbortSignal },
  ): Promise<{ answer: IncomingMessage; url: URL }> {
    const { connections, timeouts } = this.#options;
    let exchange = start;
    for (let hops = 0; ; hops++) {
      const answer = await connections.send(exchange, { signal, stall: timeouts.stall });
      const next = redirectOf(answer, exchange);
      if (next === undefined || hops >= redirectLimit) return { answer, url: exchange.url };
      answer.resume();
      const within = await checkRedirect(exchange.url, next, `${asked}: the redirect to`);
      const headers = isSameServer(exchange.url, next) ? exchange.headers : {};
      exchange = { ...exchange, url: next, headers, within: within ?? exchange.within };
    }
  }
}

/** Where a request that only reads is redirected to, if anywhere. */
function redirectOf({ statusCode, headers }: IncomingMessage, { method, url }: Exchange): URL | undefined {
  return method === "GET" ? redirectTarget(statusCode ?? 0, headers.location, url) : undefined;
}

function tokenExchange(
  server: URL,
  wanted: readonly (readonly [string, string])[],
  credentials: Credentials,
): Exchange {
  if (credentials.kind === "refresh token") {
    const form = new URLSearchParams([
      ["grant_type", "refresh_token"],
      ["client_id", clientId],
    ]);
    for (const [name, value] of wanted.filter(([key]) => key !== "scope")) form.append(name, value);
    const scopes = wanted.filter(([key]) => key === "scope").map(([, value]) => value);
    form.append("scope", scopes.join(" "));
    form.append("refresh_token", credentials.token);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    return { method: "POST", url: server, headers, body: Buffer.from(form.toString()) };
  }
  const url = new URL(server);
  for (const [name, value] of wanted) url.searchParams.append(name, value);
  if (credentials.kind === "none") return { method: "GET", url, headers: {} };
  url.searchParams.append("account", credentials.username);
  return { method: "GET", url, headers: { authorization: basic(credentials) } };
}

function tokenIn(body: Buffer, asked: string): string {
  try {
    const { token, access_token: access } = JSON.parse(body.toString("utf8")) as Record<string, unknown>;
    // Some servers send both, and one of them empty.
    const found = token || access;
    // The token becomes part of a header, so it must be valid there (RFC 9110 5.5).
    if (typeof found === "string" && /^[\x21-\x7e]+$/.test(found)) return found;
  } catch {
    // The response isn't shown: it may hold a token.
  }
  throw new AttemptFailure(`${asked} answers without a token; expected JSON with "token"`, "other");
}

function secretsOf(credentials: Credentials): string[] {
  if (credentials.kind === "none") return [];
  return credentials.kind === "password" ? [credentials.password] : [credentials.token];
}

function basic({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}
