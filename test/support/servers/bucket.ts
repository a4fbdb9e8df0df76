import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

/** A bucket as Amazon S3 has it, as far as BuildKit's cache asks for it, with no regard to credentials. */
export interface Bucket extends AsyncDisposable {
  /** For `endpoint_url`, with `use_path_style`. */
  readonly url: string;
  /** By key. */
  readonly objects: Map<string, Buffer>;
}

/** Keeps the objects of `/bucket/…` in memory. */
export async function startBucket(): Promise<Bucket> {
  const objects = new Map<string, Buffer>();
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://bucket");
    const key = decodeURIComponent(pathname.replace(/^\/bucket\//, ""));
    const answer = async (): Promise<void> => {
      if (request.method === "PUT") {
        objects.set(key, await bodyOf(request));
        response.setHeader("etag", '"stored"').end();
        return;
      }
      const content = objects.get(key);
      if (content === undefined) {
        response.writeHead(404, { "content-type": "application/xml" });
        response.end(request.method === "HEAD" ? undefined : "<Error><Code>NoSuchKey</Code></Error>");
        return;
      }
      const headers = { etag: '"stored"', "last-modified": new Date().toUTCString() };
      const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
      const part = content.subarray(Number(from ?? 0), to ? Number(to) + 1 : undefined);
      response.writeHead(from === undefined ? 200 : 206, {
        ...headers,
        "content-length": part.length,
        ...(from === undefined
          ? {}
          : {
              "content-range": `bytes ${from}-${Number(from) + part.length - 1}/${content.length}`,
            }),
      });
      response.end(request.method === "HEAD" ? undefined : part);
    };
    answer().catch(() => response.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    objects,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** The object that a request sends, out of chunks with signatures or checksums if it comes so (aws-chunked). */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const body = await buffer(request);
  if (!String(request.headers["x-amz-content-sha256"]).startsWith("STREAMING-")) return body;
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = body.indexOf("\r\n", at);
    const size = Number.parseInt(body.toString("latin1", at, end), 16);
    if (!(size > 0)) return Buffer.concat(chunks);
    chunks.push(body.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}
