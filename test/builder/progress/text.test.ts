import assert from "node:assert/strict";
import { test } from "node:test";
import { maskCredentials, withoutQueries } from "../../../src/builder/progress/text.ts";

const masked: readonly (readonly [string, string])[] = [
  ["https://user:secret@host/path", "https://***@host/path"],
  ["HTTPS://ghp_token@host", "HTTPS://***@host"],
  ["https://user:s3cr@t@host/a", "https://***@host/a"],
  ["ftp://user:secret@host", "ftp://user:***@host"],
  ["git+ssh://user:a:b@host", "git+ssh://user:***@host"],
  ["ssh://git@host/repo.git", "ssh://git@host/repo.git"],
  ["see https://host/a@b and mail@host", "see https://host/a@b and mail@host"],
  [
    'unknown: bad header "Authorization: Basic dXNlcjpzZWNyZXQ="',
    'unknown: bad header "Authorization: Basic ***"',
  ],
  ['{"Authorization":["Bearer eyJhbGciOi.J9"]}', '{"Authorization":["Bearer ***"]}'],
  ["Basic authentication is required", "Basic authentication is required"],
];
for (const [text, shown] of masked) {
  test(`of ${text} is shown ${shown}`, () => assert.equal(maskCredentials(text), shown));
}

test("URLs are shown without their queries, and with what follows them", () => {
  const text =
    'Head "https://host/v2/a/manifests/1?ns=x": from http://host/up?_state=abc%3D&digest=d: 503 (why?)';
  const shown = 'Head "https://host/v2/a/manifests/1": from http://host/up: 503 (why?)';
  assert.equal(withoutQueries(text), shown);
});

for (const piece of ["a+", "http://", "://", "a://", "https://a?", "://a@", "authorization ", "x:y@"]) {
  test(`a line of 2 MB of ${piece} is looked through in time that grows with its size alone`, () => {
    const text = piece.repeat(2e6 / piece.length);
    const begun = performance.now();
    maskCredentials(text);
    withoutQueries(text);
    assert.ok(performance.now() - begun < 5_000);
  });
}
