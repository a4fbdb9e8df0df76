import assert from "node:assert/strict";
import { test } from "node:test";
import { shownName } from "../../../src/image/reader/image-files.ts";
import { archiveWithoutImage } from "../../../src/image/reader/no-image.ts";

test("a folder's name in an archive is shown as one line, and is no part of the advised command unless it is plain", () => {
  assert.match(archiveWithoutImage(["my-app_1.0/index.json"]), /\(tar -C my-app_1\.0 -cf image\.tar \.\)/);
  for (const folder of [
    "$(id)",
    "a\nb",
    "a b",
    "`id`",
    "a;id",
    "-x",
    "\u001b[31m",
    "\u009b31m",
    "\u202eabc",
    "…",
  ]) {
    const message = archiveWithoutImage([`${folder}/index.json`]);
    assert.match(message, /\(tar -C FOLDER -cf image\.tar \.\)/, JSON.stringify(folder));
    assert.doesNotMatch(message, /\p{C}/u, JSON.stringify(folder));
  }
});

test("a name is shown with escapes for characters that a terminal would obey", () => {
  assert.equal(shownName("bücher/\u{1F600}"), '"bücher/\u{1F600}"');
  assert.equal(shownName('a"\n\u009b\u202e\u2028'), String.raw`"a\"\n\u{9b}\u{202e}\u{2028}"`);
});
