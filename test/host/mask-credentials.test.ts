import assert from "node:assert/strict";
import { test } from "node:test";
import { maskCredentials, withoutQueries } from "../../src/host/mask-credentials.ts";

const masked: readonly (readonly [string, string])[] = [
  ["https://user:secret@host/path", "https://***@host/path"],
  ["HTTPS://ghp_token@host", "HTTPS://***@host"],
  ["https://user:s3cr@t@host/a", "https://***@host/a"],
  ["ftp://user:secret@host", "ftp://user:***@host"],
  ["git+ssh://user:a:b@host", "git+ssh://user:***@host"],
  [`fatal: unable to access 'https://me:a'b"c@host/x/'`, "fatal: unable to access 'https://***@host/x/'"],
  ['dial "ftp://me:it\'s"@host/": refused', 'dial "ftp://me:***@host/": refused'],
  ['["http://a.example","me@b.example"]', '["http://a.example","me@b.example"]'],
  ["{'a': 'http://a.example:80', 'b': 'c@d'}", "{'a': 'http://a.example:80', 'b': 'c@d'}"],
  ["ssh://git@host/repo.git", "ssh://git@host/repo.git"],
  ["see https://host/a@b and mail@host", "see https://host/a@b and mail@host"],
  [
    'unknown: bad header "Authorization: Basic dXNlcjpzZWNyZXQ="',
    'unknown: bad header "Authorization: Basic ***"',
  ],
  ['{"Authorization":["Bearer eyJhbGciOi.J9"]}', '{"Authorization":["Bearer ***"]}'],
  ["authorization: Digest dXNlcjpzZWNyZXQ=", "authorization: Digest ***"],
  ["the header Basic dXNlcjpzZWNyZXQ= is wrong", "the header Basic *** is wrong"],
  ["token expired: bearer 0123456789abcdef", "token expired: bearer ***"],
  ["authorization server returned error 500", "authorization server returned error 500"],
  ["Basic authentication is required", "Basic authentication is required"],
  ["expected Basic or Bearer", "expected Basic or Bearer"],
  [
    'wants Bearer realm="https://auth.example/token",service="x"',
    'wants Bearer realm="https://auth.example/token",service="x"',
  ],
  ["token eyJhbGciOi.eyJzdWIiOiJ4In0.c2ln is no longer valid", "token *** is no longer valid"],
];
for (const [text, shown] of masked) {
  test(`of ${text} is shown ${shown}`, () => assert.equal(maskCredentials(text), shown));
}

test("secrets that are known are hidden wherever they stand, except those that stand in many words", () => {
  const said = "user me may not log in with p4ss (or cDRzcw)";
  assert.equal(maskCredentials(said, ["p4ss", "cDRzcw", "in"]), "user me may not log in with *** (or ***)");
});

test("URLs are shown without their queries, and with what follows them", () => {
  const text =
    'Head "https://host/v2/a/manifests/1?ns=x": from http://host/up?_state=abc%3D&digest=d: 503 (why?)';
  const shown = 'Head "https://host/v2/a/manifests/1": from http://host/up: 503 (why?)';
  assert.equal(withoutQueries(text), shown);
});

for (const piece of [
  "a+",
  "http://",
  "://",
  "a://",
  "https://a?",
  "://a@",
  "authorization ",
  "x:y@",
  "basic ",
  "eyJ",
  "eyJaaaaa.",
  "Bearer a1",
]) {
  test(`a line of 2 MB of ${piece} is looked through in time that grows with its size alone`, () => {
    const text = piece.repeat(2e6 / piece.length);
    const begun = performance.now();
    maskCredentials(text);
    withoutQueries(text);
    assert.ok(performance.now() - begun < 5_000);
  });
}

test("a URL's login is masked behind a known secret too, whatever the lengths", () => {
  for (const secret of ["hunter2", "a secret that is much longer than the URL is"]) {
    const text = `${secret} https://user:pass@host.example/x ftp://user:pass@host.example/x`;
    assert.equal(
      maskCredentials(text, [secret]),
      "*** https://***@host.example/x ftp://user:***@host.example/x",
    );
  }
});
