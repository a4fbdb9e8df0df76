import assert from "node:assert/strict";

/** What buildctl is ever given, and how each value is read (BuildKit, cmd/buildctl/build). */
const forms: Readonly<Record<string, "text" | "pair" | "list" | "record">> = {
  frontend: "text",
  progress: "text",
  "metadata-file": "text",
  allow: "text",
  "source-policy-file": "text",
  local: "pair",
  "oci-layout": "pair",
  opt: "pair",
  ssh: "list",
  secret: "record",
  "import-cache": "record",
  "export-cache": "record",
  "registry-auth-tlscontext": "record",
  output: "record",
};

export interface BuildctlArguments {
  /** `--opt`, `--local`, `--oci-layout`: by flag, then by name; cut at the first `=`. */
  readonly pairs: Readonly<Record<string, ReadonlyMap<string, string>>>;
  /** The others by flag, each the fields of one CSV record, cut at their first `=`. */
  readonly records: Readonly<Record<string, readonly (readonly [string, string])[][]>>;
  readonly texts: Readonly<Record<string, readonly string[]>>;
}

/**
 * Reads what was made for `buildctl build`.
 * @throws AssertionError for an argument that buildctl would refuse, or that is none of those that it is ever given
 */
export function parseBuildctlArguments(args: readonly string[]): BuildctlArguments {
  const [command, ...flags] = args;
  assert.equal(command, "build");
  const pairs: Record<string, Map<string, string>> = {};
  const records: Record<string, [string, string][][]> = {};
  const texts: Record<string, string[]> = {};
  assert.equal(flags.length % 2, 0, "a flag has no value");
  for (let at = 0; at < flags.length; at += 2) {
    const [flag = "", value = ""] = flags.slice(at, at + 2);
    assert.ok(!value.includes("\0"), "NUL in an argument");
    const [, name = ""] = /^--([a-z-]+)$/.exec(flag) ?? [];
    switch (Object.hasOwn(forms, name) ? forms[name] : undefined) {
      case "text":
        texts[name] = [...(texts[name] ?? []), value];
        break;
      case "pair": {
        const [key, content] = cut(value);
        assert.ok(pairs[name]?.has(key) !== true, `${name} ${key} is there twice`);
        pairs[name] = new Map([...(pairs[name] ?? []), [key, content]]);
        break;
      }
      case "record":
        records[name] = [...(records[name] ?? []), csvFields(value).map(cut)];
        break;
      case "list": {
        const [id, paths] = cut(value);
        const pathsOfId = paths.split(",").map((path): [string, string] => [id, path]);
        records[name] = [...(records[name] ?? []), pathsOfId];
        break;
      }
      case undefined:
        assert.fail(`buildctl is never given ${JSON.stringify(flag.slice(0, 80))}`);
    }
  }
  return { pairs, records, texts };
}

function cut(field: string): [string, string] {
  const equals = field.indexOf("=");
  assert.ok(equals !== -1, `${JSON.stringify(field)} is no pair`);
  return [field.slice(0, equals), field.slice(equals + 1)];
}

/** The fields of one CSV record (RFC 4180; github.com/tonistiigi/go-csvvalue), with its faults. */
export function csvFields(record: string): string[] {
  const fields: string[] = [];
  let rest = record;
  for (;;) {
    const [whole, quoted, plain = ""] = /^(?:"((?:[^"]|"")*)"|([^",\r\n]*))(?=,|$)/.exec(rest) ?? [];
    assert.ok(whole !== undefined, `${JSON.stringify(record)} is no CSV`);
    fields.push(quoted?.replaceAll('""', '"') ?? plain);
    if (whole.length === rest.length) return fields;
    rest = rest.slice(whole.length + 1);
  }
}
