import { once } from "node:events";
import { createServer, request as sendRequest } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";

/** If a client hangs up in the middle, the build says what it missed. */
const ignore = () => {};

export interface SlowProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly url: string;
}

/** A forward proxy at a loopback address that lets at most so many bytes a second through to all its clients together. */
export async function startSlowProxy(bytesPerSecond: number): Promise<SlowProxy> {
  let free = 0;
  /** Waits until the line is free for these bytes. */
  const send = async (bytes: number) => {
    const now = performance.now();
    const begin = Math.max(now, free);
    free = begin + (bytes / bytesPerSecond) * 1000;
    await delay(free - now);
  };
  async function* slowed(chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      await send(chunk.length);
      yield chunk;
    }
  }
  const server = createServer((incoming, response) => {
    const { method, headers } = incoming;
    const onwards = sendRequest(incoming.url ?? "", { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      pipeline(answer, slowed, response).catch(ignore);
    });
    onwards.on("error", () => response.destroy());
    incoming.pipe(onwards);
  });
  server.on("connect", (incoming, client, head) => {
    const { hostname, port } = new URL(`http://${incoming.url}`);
    const onwards = connect(Number(port || 80), hostname, () => {
      client.write("HTTP/1.1 200 Connection established\r\n\r\n");
      onwards.write(head);
      pipeline(onwards, slowed, client).catch(ignore);
      pipeline(client, onwards).catch(ignore);
    });
    onwards.on("error", () => client.destroy());
    client.on("error", () => onwards.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}
