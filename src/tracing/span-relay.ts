import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { uniqueId } from "../host/unique-id.ts";
import type { SpanSender } from "./span-sender.ts";

/** Takes spans of other programs on this machine. Disposing closes its port. */
export interface SpanRelay extends Disposable {
  /** Takes traces by OTLP over HTTP. Part of it is secret, so that no other program sends to it. */
  readonly url: string;
}

/** Bytes of a request. BuildKit sends at most 512 spans in one. */
const bodyLimit = 16 * 1024 * 1024;

/**
 * Opens a relay on a free port of the loopback address, which passes what it gets on to the receiver. BuildKit's
 * programs send their spans through it because their client follows redirects with all headers, reads the
 * receiver's headers from the environment, and waits for a receiver that hangs. The relay answers at once.
 */
export async function openRelay(sender: SpanSender): Promise<SpanRelay> {
  const path = `/${uniqueId()}/v1/traces`;
  const take = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const isSpans = request.method === "POST" && request.url === path;
    const body = isSpans ? await bodyOf(request) : undefined;
    response.writeHead(isSpans ? 200 : 404, { "content-type": "application/x-protobuf" }).end();
    if (body !== undefined) await sender.send({ body, encoding: request.headers["content-encoding"] });
  };
  const server = createServer((request, response) => {
    take(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}${path}`,
    [Symbol.dispose]: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** @throws if the request is cut off or too large */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > bodyLimit) throw new Error(`a request with spans has more than ${bodyLimit} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}
