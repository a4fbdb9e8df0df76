import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { createPrivateFolder } from "../../../src/host/private-folder.ts";
import { type Server, startServer } from "../servers/http-server.ts";

/**
 * Makes a port of this machine's loopback one of a container's: a process in the container's network namespace listens
 * there and passes what comes through a socket file, behind which this process connects to the real port.
 * @param pid of a process in the container
 */
export async function relayPorts(pid: number, port: number): Promise<AsyncDisposable> {
  await using resources = new AsyncDisposableStack();
  const folder = resources.use(await createPrivateFolder("test-relay"));
  const file = join(folder.path, "socket");
  const sockets = new Set<Socket>();
  const server = createServer((incoming) => {
    const onward = connect(port, "127.0.0.1");
    for (const socket of [incoming, onward]) sockets.add(socket.on("error", () => socket.destroy()));
    incoming.pipe(onward).pipe(incoming);
  }).listen(file);
  resources.defer(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const script = `const { connect, createServer } = require("node:net");
const [file, port] = process.argv.slice(1);
createServer((incoming) => {
  const onward = connect(file);
  for (const socket of [incoming, onward]) socket.on("error", () => socket.destroy());
  incoming.pipe(onward).pipe(incoming);
}).listen(Number(port), "127.0.0.1", () => console.log("listening"));`;
  const inside: Server = await startServer({
    file: "nsenter",
    args: [`--net=/proc/${pid}/ns/net`, process.execPath, "-e", script, file, String(port)],
    ready: /listening/,
  });
  resources.use(inside);
  const owned = resources.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
