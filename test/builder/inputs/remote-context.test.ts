import assert from "node:assert/strict";
import { test } from "node:test";
import { readRemoteContext } from "../../../src/builder/inputs/remote-context.ts";
import { namesOfPut } from "../../../src/host/author-names.ts";

const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

test("a URL's user and password become a secret of the name by which BuildKit looks for them", () => {
  const cases = [
    ["https://me:p%40ss:w@git.example/a.git#main:sub", "https://git.example/a.git#main:sub", "me:p@ss:w"],
    ["HTTPS://token@git.example:8443/a.git?branch=x", "https://git.example:8443/a.git?branch=x", "token:"],
    ["http://a:b@c:d@[::1]:80/a.git", "http://[::1]:80/a.git", "a:b@c:d"],
  ] as const;
  for (const [text, url, login] of cases) {
    const host = /\/\/([^/]+)/.exec(url)?.[1];
    assert.deepEqual(readRemoteContext(text, "context", namesOfPut), {
      kind: "git",
      url,
      login: { id: `GIT_AUTH_HEADER.${host}`, text: basic(login) },
    });
  }
  assert.deepEqual(readRemoteContext("https://me:pass@files.example:8443/a.tar?v=1", "context", namesOfPut), {
    kind: "http",
    url: "https://files.example:8443/a.tar?v=1",
    login: { id: "HTTP_AUTH_HEADER_files.example", text: basic("me:pass") },
  });
});

test("URLs without a secret stay as they are, and paths are none", () => {
  for (const [url, kind] of [
    ["git@git.example:team/app.git#v1", "git"],
    ["ssh://git@git.example:22/app.git", "git"],
    ["git://git.example/app", "git"],
    ["https://git.example/app.git?tag=v1&subdir=x", "git"],
    ["https://files.example/app.tar.gz", "http"],
    ["docker-image://registry.example:5000/app:1", "image"],
    ["docker-image://scratch", "image"],
  ] as const)
    assert.deepEqual(readRemoteContext(url, "context", namesOfPut), { kind, url, login: undefined });
  for (const path of [".", "app", "../app", "/abs", "app@1:2/x", "oci-layout://image", "a b", ""])
    assert.equal(readRemoteContext(path, "context", namesOfPut), undefined, path);
});

const secret = "hunter2";
const refused: readonly (readonly [string, RegExp])[] = [
  [`https://git.example/a.git?token=${secret}`, /the query of a git URL has "token".*GIT_AUTH_TOKEN/],
  [
    `https://files.example/a.tar?X-Amz-Signature=${secret}`,
    /has "X-Amz-Signature".*HTTP_AUTH_TOKEN_files\.example/,
  ],
  [`ssh://me:${secret}@git.example/a.git`, /a ssh:\/\/ URL with a password/],
  [`git://me:${secret}@git.example/a.git`, /a git:\/\/ URL with a password/],
  [`git@git.example:a.git?token=${secret}`, /the query of a git URL has "token"/],
  [`git+https://me:${secret}@git.example/a.git`, /BuildKit fetches nothing by git\+https:\/\//],
  [`docker-image://me:${secret}@registry.example/app`, /context: .* is not a digest|is not an image name/],
  [`me:${secret}@git.example/a.git`, /looks like a URL without its scheme/],
  [`https://me:100%${secret}@git.example/a.git`, /has a "%" that begins no escape/],
  [`https://me:${secret}@git.example:port/a.git`, /context: expected a URL, https:/],
  [`https://me:${secret}@git.example/a b.git`, /context: expected a URL, https:/],
];

for (const [text, message] of refused) {
  test(`${text.replace(secret, "…")} is refused without its secret`, () => {
    assert.throws(
      () => readRemoteContext(text, "context", namesOfPut),
      (error: Error) => {
        assert.equal(error.name, "UserError");
        assert.match(error.message, message);
        assert.ok(!error.message.includes(secret), error.message);
        return true;
      },
    );
  });
}
