import { once } from "node:events";
import { createServer, request as sendRequest } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";

export interface ForwardProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port`, for `HTTP_PROXY` and `HTTPS_PROXY`. */
  readonly url: string;
  /** `CONNECT host:port` and `GET http://host/path`, in the order they came. */
  readonly asked: readonly string[];
}

/**
 * A site's way out (RFC 9110 7.7 and 9.3.6): passes on requests for plain http, and tunnels by CONNECT. It alone knows
 * where the hosts are that it is given by name; all others are refused with 502.
 * @param hosts `registry.example:443` → `127.0.0.1:port`
 */
export async function startForwardProxy(hosts: Readonly<Record<string, string>>): Promise<ForwardProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const target = (name: string): [host: string, port: number] | undefined => {
    const [host = "", port] = (hosts[name] ?? "").split(":");
    return port === undefined ? undefined : [host, Number(port)];
  };
  const server = createServer((incoming, response) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    const url = URL.parse(incoming.url ?? "");
    const found = url === null ? undefined : target(`${url.hostname}:${url.port || "80"}`);
    if (url === null || found === undefined) {
      response.writeHead(502).end();
      return;
    }
    const [host, port] = found;
    const { method = "GET", headers } = incoming;
    const onward = sendRequest(
      { host, port, method, headers, path: `${url.pathname}${url.search}` },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on("error", () => response.destroy());
    incoming.pipe(onward);
  });
  server.on("connect", (incoming, socket: Socket) => {
    asked.push(`CONNECT ${incoming.url}`);
    sockets.add(socket.on("error", () => {}));
    const found = target(incoming.url ?? "");
    if (found === undefined) {
      socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
      return;
    }
    const [host, port] = found;
    const onward = connect(port, host, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
    sockets.add(onward.on("error", () => socket.destroy()));
    socket.pipe(onward).pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
