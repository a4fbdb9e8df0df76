import type { IncomingMessage, Agent as PlainAgent } from "node:http";
import type { Agent as TlsAgent } from "node:https";
import { createRequire } from "node:module";
import { createSecureContext, rootCertificates } from "node:tls";
import type { Environment } from "../host/step-context.ts";
import type { HostAccess, RegistryAccess } from "./access.ts";
import { proxyFor } from "./proxies.ts";
import { type Depth, isSameServer, lookupWithin } from "./redirect-policy.ts";
import { AttemptFailure, networkFailure, proxyFailure } from "./registry-error.ts";
import { systemCertificates } from "./system-certificates.ts";

// An import of node:http takes Node 25 ms: it reads every export of the module, and its WebSocket loads fetch.
// Requiring the module doesn't.
const requireModule = (name: string): unknown => createRequire(import.meta.url)(name);
const http = () => requireModule("node:http") as typeof import("node:http");
const https = () => requireModule("node:https") as typeof import("node:https");

/** The host that serves a registry. Docker Hub's has another name than its images have. */
export function serverOf(registry: string): string {
  return registry === "docker.io" ? "registry-1.docker.io" : registry;
}

/** One HTTP request. */
export interface Exchange {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** How far inside a network the server may be, if not anywhere. */
  readonly within?: Depth | undefined;
}

export interface Connections extends Disposable {
  /**
   * Sends a request. Returns as soon as the response's headers have arrived, whatever its status.
   * @throws AttemptFailure
   */
  send(exchange: Exchange, options: { signal: AbortSignal; stall: number }): Promise<IncomingMessage>;
}

/**
 * Connections to a registry and to the hosts that it redirects to, each with its own certificates. The proxies are
 * those of the environment (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`).
 * @param registry the store's host. Its CA certificates are also trusted for the other hosts, such as its token
 * server.
 */
export function openConnections(access: RegistryAccess, registry: string, env: Environment): Connections {
  const agents = new Map<string, PlainAgent | TlsAgent>();
  const own = access.hosts.get(registry);
  const registryNames = [registry, serverOf(registry)].map((name) => new URL(`https://${name}`).hostname);
  const isOfRegistry = (url: URL): boolean => registryNames.includes(url.hostname);
  const server = new URL(`http://${serverOf(registry)}`);
  let system: readonly string[] | undefined;
  const trustedFor = (host: HostAccess): string[] => {
    system ??= trusted(env);
    return [...system, access.caCerts, own?.caCerts, host.caCerts].filter((pem) => pem !== undefined);
  };
  const agentFor = ({ url, within }: Exchange): PlainAgent | TlsAgent => {
    // An open connection is not looked up again, so each limit has its own.
    const key = `${url.origin} ${within ?? ""}`;
    const agent = agents.get(key) ?? open(url);
    agents.set(key, agent);
    return agent;
  };
  const open = (url: URL): PlainAgent | TlsAgent => {
    const proxy = proxyFor(url, env)?.href;
    const proxies = { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } };
    const options = { keepAlive: true, ...(proxy !== undefined && proxies) };
    if (url.protocol === "http:") return new (http().Agent)(options);
    const isOwn = isOfRegistry(url);
    const host: HostAccess = isOwn ? (own ?? {}) : (access.hosts.get(url.host) ?? {});
    const rejectUnauthorized = host.insecure !== true;
    // Made once for each agent: parsing all certificates takes longer than connecting.
    const secureContext = createSecureContext({
      ca: rejectUnauthorized ? trustedFor(host) : [],
      ...(host.clientCert === undefined ? {} : { cert: host.clientCert }),
      ...(host.clientKey === undefined ? {} : { key: host.clientKey }),
    });
    return new (https().Agent)({ ...options, secureContext, rejectUnauthorized });
  };
  return {
    send: async (exchange, options) => {
      const { url } = exchange;
      const elsewhere = isSameServer(server, url) ? undefined : url.host;
      const proxy = proxyFor(url, env)?.origin;
      return send(exchange, { ...options, elsewhere, proxy, agent: agentFor(exchange) });
    },
    [Symbol.dispose]: () => {
      for (const agent of agents.values()) agent.destroy();
    },
  };
}

interface Sending {
  readonly agent: PlainAgent | TlsAgent;
  /** The host, if it isn't the registry's. */
  readonly elsewhere: string | undefined;
  /** The origin of the proxy, if there is one. */
  readonly proxy: string | undefined;
  readonly signal: AbortSignal;
  readonly stall: number;
}

function send(
  { method, url, headers, body, within }: Exchange,
  { agent, elsewhere, proxy, signal, stall }: Sending,
): Promise<IncomingMessage> {
  const asked = `${method} ${url.origin}${url.pathname}`;
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const options = {
    method,
    agent,
    signal,
    // Without it a server may compress what it sends, and digests are over the bytes as they are (RFC 9110 12.5.3).
    headers: { "accept-encoding": "identity", ...headers, "content-length": body?.length ?? 0 },
    // Node then closes the connection to a proxy that doesn't answer.
    ...(proxy !== undefined && { timeout: 2 * stall }),
    ...(within === undefined ? {} : { lookup: lookupWithin(within, url) }),
  };
  const request = url.protocol === "https:" ? https().request(url, options) : http().request(url, options);
  // While a proxy hasn't answered, the request has no connection, and reports no end of its own.
  const give = (reason: unknown) => {
    reject(reason);
    request.destroy();
  };
  const abort = () => give(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const late = () =>
    give(
      new AttemptFailure(`${asked}: no answer within ${stall / 1000} s${through(proxy)}`, "cut", {
        retryable: true,
      }),
    );
  const timer = setTimeout(late, stall);
  request.once("response", resolve);
  request.on("error", (error) => {
    const failure = proxy === undefined ? undefined : proxyFailure(error, asked, proxy);
    reject(signal.aborted ? signal.reason : (failure ?? networkFailure(error, asked, elsewhere)));
  });
  request.end(body);
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", abort);
  });
}

function through(proxy: string | undefined): string {
  return proxy === undefined ? "" : ` through the proxy ${proxy}`;
}

/** The machine's CA certificates, or those built into Node if the machine has none. */
function trusted(env: Environment): readonly string[] {
  const found = systemCertificates(env);
  return found.length > 0 ? found : rootCertificates;
}
