import { once } from "node:events";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  request as sendRequest,
} from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A request as the proxy saw it. */
export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
}

/** What a fault may do with a request. */
export interface Faulty {
  readonly request: SeenRequest;
  readonly response: ServerResponse;
  /** The registry's own answer, unseen by the client, to other request headers if wanted (undefined: without one). */
  forward(headers?: IncomingHttpHeaders): Promise<Forwarded>;
  /** What the client sends with it. */
  body(): Promise<Buffer>;
  /** Ends the connection at once, as a crashed machine or a stateful firewall does (RST). */
  reset(): void;
}

export interface Forwarded {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Fault {
  readonly when: (request: SeenRequest) => boolean;
  /** How often it happens; for ever by default. */
  readonly times?: number;
  readonly happens: (faulty: Faulty) => void | Promise<void>;
}

export interface FaultProxy extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly url: string;
  /** All requests so far. */
  readonly requests: readonly SeenRequest[];
  /** Faults from now on, the first that fits happens. */
  inject(...faults: readonly Fault[]): void;
}

/** Stands between a client and a registry that speaks plain http, and passes on what no fault happens to. */
export async function startFaultProxy(registry: string): Promise<FaultProxy> {
  const requests: SeenRequest[] = [];
  let faults: { fault: Fault; left: number }[] = [];
  const server = createServer((incoming, response) => {
    const request = { method: incoming.method ?? "", path: incoming.url ?? "", headers: incoming.headers };
    requests.push(request);
    response.on("error", () => {});
    const found = faults.find(({ fault, left }) => left > 0 && fault.when(request));
    if (found === undefined) {
      passOn(registry, incoming, response);
      return;
    }
    found.left--;
    const body = buffer(incoming);
    body.catch(() => {}); // A request that the fault cuts has no complete body.
    const faulty: Faulty = {
      request,
      response,
      forward: async (headers = {}) =>
        forward(registry, { ...request, headers: { ...request.headers, ...headers } }, await body),
      body: () => body,
      reset: () => incoming.socket.resetAndDestroy(),
    };
    Promise.resolve(found.fault.happens(faulty)).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    host,
    url: `http://${host}`,
    requests,
    inject: (...injected) => {
      faults = injected.map((fault) => ({ fault, left: fault.times ?? Number.POSITIVE_INFINITY }));
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** The registry sees the proxy's name as its own, so the places it sends clients to are the proxy's. */
function passOn(registry: string, incoming: IncomingMessage, response: ServerResponse): void {
  const { method, headers } = incoming;
  const onward = sendRequest(`${registry}${incoming.url}`, { method: method ?? "GET", headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  onward.on("error", () => response.destroy());
  response.on("close", () => onward.destroy());
  incoming.pipe(onward);
}

async function forward(
  registry: string,
  { method, path, headers }: SeenRequest,
  body: Buffer,
): Promise<Forwarded> {
  const kept = Object.entries(headers).filter(([, value]) => value !== undefined);
  const onward = sendRequest(`${registry}${path}`, { method, headers: Object.fromEntries(kept) });
  onward.end(body);
  const [answer] = (await once(onward, "response")) as [IncomingMessage];
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: await buffer(answer) };
}

/** Requests for blobs, for manifests, or of any path that matches; by GET unless told otherwise. */
export function asks(path: RegExp | "blob" | "manifest", method = "GET"): Fault["when"] {
  const paths = { blob: /\/blobs\/sha256:/, manifest: /\/manifests\// };
  const pattern = typeof path === "string" ? paths[path] : path;
  return (request) => request.method === method && pattern.test(request.path);
}

/** Another answer than the registry's. */
export function answers(
  status: number,
  {
    headers = {},
    body = "",
  }: { headers?: Readonly<Record<string, string>>; body?: string | Uint8Array } = {},
): Fault["happens"] {
  return ({ response }) => {
    response.writeHead(status, headers);
    response.end(body);
  };
}

/** To a manifest: a blob that it names isn't there (OCI distribution-spec, error code MANIFEST_BLOB_UNKNOWN). */
export const missesBlob: Fault["happens"] = answers(404, {
  body: JSON.stringify({
    errors: [
      { code: "MANIFEST_BLOB_UNKNOWN", message: "blob unknown to registry", detail: { Digest: "sha256:1" } },
    ],
  }),
});

/** The registry's answer with another body, whose length is told or not. */
export function changesBody(
  change: (body: Buffer) => Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Fault["happens"] {
  return async (faulty) => {
    const answer = await faulty.forward();
    const body = change(answer.body);
    faulty.response.writeHead(answer.status, {
      ...answer.headers,
      "content-length": String(body.length),
      ...headers,
    });
    faulty.response.end(body);
  };
}

/**
 * The head and the first bytes of the registry's answer, then the end: a reset, a connection closed in order with less
 * than was promised, or nothing more for ever.
 */
export function breaksAfter(bytes: number, how: "reset" | "close" | "stall"): Fault["happens"] {
  return async (faulty) => {
    const { response } = faulty;
    const answer = await faulty.forward();
    response.writeHead(answer.status, answer.headers);
    const isWritten = new Promise((resolve) => response.write(answer.body.subarray(0, bytes), resolve));
    await isWritten;
    if (how === "close") response.destroy();
    if (how === "reset") faulty.reset();
  };
}
