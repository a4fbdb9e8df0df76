import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { logsOf, withLogs } from "../tools/log/page.ts";
import { checkout } from "./support/runs/test-step.ts";

const seconds = String.raw`(?:\d+\.\d|\d+) s|\d+ min \d+ s`;
const place = String.raw`\[(?:linux\/\S+ )?(?:\S+ )?\d+\/\d+\]`;
const size = String.raw`\d+(?:\.\d)? [kMGT]?B`;

/** The lines that a put logs, by their kind. */
const kinds: Readonly<Record<string, RegExp>> = {
  beginning: /^building (?:\S+ )?with a BuildKit of its own, .* \(\d+\.\d+\.\d+\)$/,
  instruction: new RegExp(`^${place} (?:FROM|RUN|COPY) .*$`),
  end: new RegExp(`^(?:${place} done|exporting .*), (?:${seconds})$`),
  output: new RegExp(`^${place} (?!FROM|RUN|COPY).+$`),
  warning: /^warning: source\/Dockerfile:\d+: \w+: .* \(https:\/\/docs\.docker\.com\/\S+\)$/,
  built: new RegExp(`^built in (?:${seconds}): \\d+ steps? run, \\d+ of \\d+ cached(?:, \\d+ warnings?)?$`),
  timing: new RegExp(`^ {2}(?:${seconds}) +\\S.*$`),
  layers: new RegExp(
    `^(?:target \\w+: )?\\d+ layers?(?: for linux/\\w+)?, ${size}(?:: ${size}(?:, ${size})*)?$`,
  ),
  stored:
    /^(?:target \w+: )?stored as registry\.example\/shop\/web@sha256:[0-9a-f]{64}(?:, tagged 1\.4\.0)?$/,
  known: /^this version was stored before: /,
};
/** What a failed build logs after its steps: the message, with the reason last. */
const failure =
  /\nerror: step \[3\/3\] failed\nthe end of its output:\n(?: {2}.*\n)+source\/Dockerfile:3\n(?: +\d+ \|.*\n)+exit code: 2\n$/;

const page = await readFile(join(checkout, "docs/log.md"), "utf8");
const logs = logsOf(page);

test("docs/log.md shows the logs of five puts", () => {
  assert.deepEqual(Object.keys(logs), ["success", "cached", "failure", "warnings", "several"]);
  assert.equal(withLogs(page, logs), page, "writing the logs anew changes the page");
  assert.doesNotMatch(page, /127\.0\.0\.1|\/tmp\//);
});

for (const [name, log] of Object.entries(logs)) {
  test(`the log of the put "${name}" has the form that puts have`, () => {
    const steps = name === "failure" ? log.replace(failure, "\n") : log;
    if (name === "failure") assert.notEqual(steps, log, "the message has another form");
    for (const line of steps.trimEnd().split("\n")) {
      const kind = Object.entries(kinds).find(([, form]) => form.test(line));
      assert.ok(kind !== undefined, `no kind of line: ${line}`);
    }
    assert.match(log.split("\n", 1)[0] ?? "", kinds["beginning"] ?? /$^/);
    if (name !== "failure") assert.match(log, /\nbuilt in (?:.*\n)+.*stored as /);
  });
}

test("the logs show what each is about", () => {
  assert.match(logs["success"] ?? "", /of base images\n/);
  assert.match(logs["cached"] ?? "", /\[build 3\/3\] RUN .*, cached\n/);
  assert.match(logs["warnings"] ?? "", /, 3 warnings\n/);
  for (const platform of ["linux/amd64", "linux/arm64"])
    assert.match(logs["several"] ?? "", new RegExp(`\\[${platform} app 2/2\\] COPY`));
  assert.match(logs["several"] ?? "", /\ntarget test: stored as /);
});
