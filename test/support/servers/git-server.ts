import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { execa } from "execa";

export interface GitServer extends AsyncDisposable {
  /** `127.0.0.1:port` */
  readonly host: string;
  /** The `Authorization` headers that came, without those that were missing. */
  readonly shown: readonly string[];
}

/** Makes a repository of a folder's files, with one commit on `main`. */
export async function makeRepository(folder: string): Promise<void> {
  const git = (...args: readonly string[]) =>
    execa("git", ["-c", "user.name=a", "-c", "user.email=a@b.example", ...args], { cwd: folder });
  await git("init", "-q", "-b", "main");
  await git("add", ".");
  await git("commit", "-q", "-m", "all");
}

/**
 * Serves the repositories of a folder by http, by git's own CGI program (git-http-backend(1)), to who shows the user and
 * the password. What is no repository is answered with its path as text.
 * @param beforeAnswer is awaited before each answer of a repository: git, which asks, is there for that long
 */
export async function startGitServer(
  folder: string,
  login: { readonly user: string; readonly password: string },
  beforeAnswer: () => Promise<void> = async () => {},
): Promise<GitServer> {
  const wanted = `Basic ${Buffer.from(`${login.user}:${login.password}`).toString("base64")}`;
  const shown: string[] = [];
  const server = createServer((request, response) => {
    const { authorization } = request.headers;
    if (authorization !== undefined) shown.push(authorization);
    if (authorization !== wanted) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="git"' }).end();
      return;
    }
    if (request.url?.includes(".git/") === true)
      void beforeAnswer().then(() => runBackend(folder, request, response));
    else response.end(`${request.url}\n`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    shown,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** One exchange of CGI (RFC 3875). */
async function runBackend(folder: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
  const { headers } = request;
  const child = spawn("git", ["http-backend"], {
    stdio: ["pipe", "pipe", "ignore"],
    env: {
      PATH: process.env["PATH"],
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: "1",
      PATH_INFO: pathname,
      QUERY_STRING: searchParams.toString(),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: headers["content-encoding"] ?? "",
      GIT_PROTOCOL: String(headers["git-protocol"] ?? ""),
    },
  });
  request.pipe(child.stdin);
  const answer = await buffer(child.stdout);
  const end = answer.indexOf("\r\n\r\n");
  const fields = answer.subarray(0, end).toString("latin1").split("\r\n");
  const pairs = fields.map((line): [string, string] => [
    line.slice(0, line.indexOf(":")),
    line.slice(line.indexOf(":") + 1).trim(),
  ]);
  const status = pairs.find(([name]) => name === "Status")?.[1] ?? "200";
  response.writeHead(
    Number.parseInt(status, 10),
    Object.fromEntries(pairs.filter(([name]) => name !== "Status")),
  );
  response.end(answer.subarray(end + 4));
}
