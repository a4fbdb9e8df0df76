import { createPrivateKey, randomUUID, sign, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { ServerCertificate } from "./certificates.ts";

/** What one user may do in which repository. */
export interface TokenUser {
  readonly password: string;
  /** Repository → actions; `*` for all repositories. */
  readonly may: Readonly<Record<string, readonly ("pull" | "push")[]>>;
}

export interface TokenServer extends AsyncDisposable {
  /** For `startRegistry({token})`. */
  readonly token: {
    readonly realm: string;
    readonly service: string;
    readonly issuer: string;
    readonly rootCertificates: string;
  };
  readonly requests: readonly { readonly headers: IncomingHttpHeaders; readonly scopes: readonly string[] }[];
}

/**
 * A server of bearer tokens (docker-registry, docs/spec/auth), over https: by GET with a password, by POST with a
 * password or a refresh token, which is `refresh-<name>`; who names no user gets a token that is good for nothing.
 */
export async function startTokenServer(
  certificate: ServerCertificate,
  users: Readonly<Record<string, TokenUser>>,
): Promise<TokenServer> {
  const requests: { headers: IncomingHttpHeaders; scopes: readonly string[] }[] = [];
  const [cert, key] = await Promise.all([
    readFile(certificate.cert, "utf8"),
    readFile(certificate.key, "utf8"),
  ]);
  const service = "test registry";
  const issuer = "test issuer";

  const accessFor = (user: TokenUser | undefined, scopes: readonly string[]) =>
    scopes.map((scope) => {
      const [type = "", name = "", actions = ""] = scope.split(":");
      const may: readonly string[] = user?.may[name] ?? user?.may["*"] ?? [];
      return { type, name, actions: actions.split(",").filter((action) => may.includes(action)) };
    });
  const issue = (name: string, access: unknown): string => {
    const now = Math.floor(Date.now() / 1000);
    const header = { typ: "JWT", alg: "ES256", x5c: [new X509Certificate(cert).raw.toString("base64")] };
    const times = { iat: now - 10, nbf: now - 10, exp: now + 300 };
    const claims = { iss: issuer, sub: name, aud: service, jti: randomUUID(), access, ...times };
    const parts = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"));
    const signed = parts.join(".");
    const signature = sign("sha256", Buffer.from(signed), {
      key: createPrivateKey(key),
      dsaEncoding: "ieee-p1363",
    });
    return `${signed}.${signature.toString("base64url")}`;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url ?? "/", "https://localhost");
    const form = request.method === "POST" ? new URLSearchParams(await text(request)) : url.searchParams;
    const scopes = form.getAll("scope").flatMap((scope) => scope.split(" "));
    requests.push({ headers: request.headers, scopes });
    const basic = Buffer.from(
      (request.headers.authorization ?? "").replace(/^Basic /, ""),
      "base64",
    ).toString();
    const named = form.get("refresh_token")?.replace(/^refresh-/, "") ?? form.get("username");
    const name = named ?? basic.replace(/:.*$/s, "");
    const user = Object.hasOwn(users, name) ? users[name] : undefined;
    const isRight = form.has("username")
      ? form.get("password") === user?.password
      : form.has("refresh_token") || basic === `${name}:${user?.password}`;
    const isUser = user !== undefined && isRight;
    if (name !== "" && !isUser) {
      response.writeHead(401).end('{"errors":[{"code":"UNAUTHORIZED"}]}');
      return;
    }
    const token = issue(name, accessFor(isUser ? user : undefined, scopes));
    response
      .writeHead(200, { "content-type": "application/json" })
      .end(JSON.stringify({ token, access_token: token }));
  };
  const server = createServer({ cert, key }, (request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const realm = `https://127.0.0.1:${(server.address() as AddressInfo).port}/token`;
  return {
    token: { realm, service, issuer, rootCertificates: certificate.ca },
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
