import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createPrivateFolder } from "../../src/host/private-folder.ts";
import { processesOf } from "../support/runs/processes.ts";
import { assertFailedCleanly, runResource, startResource, versionOf } from "../support/runs/resource.ts";
import { smallPut } from "../support/runs/small-put.ts";

/** Nobody's password, which no message may repeat. */
const password = "hunter2";

const nested = (levels: number, open: string, close: string) =>
  `${open.repeat(levels)}1${close.repeat(levels)}`;
const put = (params: string) => `{"source":{"directory":"/nonexistent/builds"},"params":${params}}`;
const source = (fields: string) => `{"source":{"directory":"/nonexistent/builds",${fields}},"params":{}}`;
const param = (name: string, value: unknown) => put(JSON.stringify({ context: "app", [name]: value }));
const field = (name: string, value: unknown) =>
  JSON.stringify({ source: { directory: "/nonexistent/builds", [name]: value }, params: {} });

interface Refused {
  readonly what: string;
  readonly stdin: string | Uint8Array;
  readonly message: RegExp;
}

const refused: readonly Refused[] = [
  {
    what: "text that is not UTF-8",
    stdin: Buffer.from('{"source":{},"params":{"context":"\xff\xfe"}}', "latin1"),
    message: /is not UTF-8/,
  },
  { what: "a hundred thousand open brackets", stdin: "[".repeat(100_000), message: /is not JSON/ },
  {
    what: "a hundred thousand lists in one another",
    stdin: put(`{"contexts":${nested(100_000, "[", "]")}}`),
    message: /^error: params\.contexts(\.0)*: is nested over 100 levels deep/,
  },
  {
    what: "a hundred thousand maps in one another where any map is taken",
    stdin: source(`"docker_config":${nested(100_000, '{"a":', "}")}`),
    message: /source\.docker_config\.a: is nested over 100 levels deep/,
  },
  {
    what: "the same in a docker_config that is JSON in a string",
    stdin: field("docker_config", `{"a":${nested(100_000, '{"a":', "}")}}`),
    message: /source\.docker_config(\.a)+: is nested over 100 levels deep/,
  },
  {
    what: "a NUL in a value",
    stdin: param("target", "a\0b"),
    message: /^error: params\.target: holds a NUL character \(\\u0000\): remove it$/m,
  },
  {
    what: "a NUL in a name",
    stdin: param("labels", { "a\0b": "c" }),
    message: /params\.labels: a name holds a NUL/,
  },
  ...["source", "params"].map((part) => ({
    what: `__proto__ in the ${part}`,
    stdin: `{"source":{"directory":"/x"},"params":{},"${part}":{"__proto__":{"context":"app"}}}`,
    message: new RegExp(`${part}: there is no "__proto__"`),
  })),
  {
    what: "a build arg named __proto__",
    stdin: put('{"build_args":{"__proto__":"x"}}'),
    message: /params\.build_args: there is no "__proto__"/,
  },
  {
    what: "a registry named __proto__",
    stdin: source('"registries":{"__proto__":{"username":"a","password":"b"}}'),
    message: /source\.registries: there is no "__proto__"/,
  },
  {
    what: "a param named constructor",
    stdin: put('{"constructor":"x"}'),
    message: /there is no param "constructor"/,
  },
  ...["build_args", "labels", "image_args", "annotations"].map((name) => ({
    what: `an equals sign in a name of ${name}`,
    stdin: param(name, { "a=b": "c" }),
    message: new RegExp(`params\\.${name}\\.a=b: expected a name .*without "="`),
  })),
  {
    what: "a build arg without a name",
    stdin: param("build_args", { "": "x" }),
    message: /params\.build_args\.: expected a name without "=" and blanks/,
  },
  {
    what: "an annotation that buildctl would write in lower case",
    stdin: param("annotations", { "org.example.Title": "x" }),
    message: /expected a name in lower case/,
  },
  ...["-x", "a=b", "a,b", "a b"].map((name) => ({
    what: `a context named ${JSON.stringify(name)}`,
    stdin: param("contexts", { [name]: "app" }),
    message: /expected the name of a stage or of an image/,
  })),
  ...["--id", "a,b", 'a"b', "a=b", "../a", "a\nb"].map((id) => ({
    what: `a secret with the id ${JSON.stringify(id)}`,
    stdin: param("secrets", { [id]: { text: password } }),
    message: /expected up to 200 letters, digits, "_", ".", ":", "@", "-" and "\/"/,
  })),
  {
    what: "a path longer than any",
    stdin: param("context", "x".repeat(1_000_000)),
    message: /context: "x+… \(\d+ characters\)$/m,
  },
  {
    what: "a part of a path longer than any",
    stdin: param("dockerfile", `app/${"x".repeat(300)}`),
    message: /dockerfile: "app\/x+" is longer than a path can be/,
  },
  {
    what: "a name longer than any",
    stdin: put(JSON.stringify({ ["x".repeat(1_000_000)]: 1 })),
    message: /there is no param "x+… \(\d+ characters\)$/m,
  },
  {
    what: "a hundred thousand faults at once",
    stdin: param(
      "platforms",
      Array.from({ length: 100_000 }, () => "-"),
    ),
    message: /params\.platforms\.19: expected os\[\(version\)\]\/architecture.*\n… and 99980 more$/m,
  },
  {
    what: "a secret whose id can't be the name of a file",
    stdin: param("secrets", { ["x".repeat(300)]: { text: password } }),
    message: /expected up to 200 letters, digits/,
  },
  {
    what: "a time that no image can have",
    stdin: param("source_date_epoch", 1e300),
    message: /params\.source_date_epoch: expected whole seconds since 1970, before the year 10000/,
  },
  {
    what: "a size that no machine has",
    stdin: param("shm_size", "99999999999999999999g"),
    message: /params\.shm_size: expected a size that a machine may have/,
  },
  {
    what: "a directory where there can't be one",
    stdin: '{"source":{"directory":"/proc/builds"},"params":{"context":"app"}}',
    message: /directory \/proc\/builds: can't be written \(ENOENT\)/,
  },
  {
    what: "a limit that sets another",
    stdin: param("ulimits", { nofile: "1,core=2" }),
    message: /params\.ulimits\.nofile: expected a number, or a soft and a hard limit/,
  },
  {
    what: "a host that adds another",
    stdin: param("add_hosts", { "a=10.0.0.1,b": "10.0.0.2" }),
    message: /expected a host name, without blanks, commas/,
  },
  {
    what: "an address that adds another host",
    stdin: param("add_hosts", { a: "10.0.0.1,b=10.0.0.2" }),
    message: /params\.add_hosts\.a: expected an IP address/,
  },
  {
    what: "an SBOM generator that sets another option",
    stdin: param("sbom", { generator: "image,mode=x" }),
    message: /params\.sbom\.generator: expected an image name, without blanks, commas/,
  },
  {
    what: "a platform like a flag",
    stdin: param("platforms", ["--x"]),
    message: /expected os\[\(version\)\]\/architecture/,
  },
  { what: "a cache like a flag", stdin: field("cache", { ref: "--x" }), message: /is not an image name/ },
  {
    what: "an address that ssh or docker would take for an option",
    stdin: field("buildkit", { address: "docker-container://-x" }),
    message: /source\.buildkit\.address: expected an address/,
  },
  {
    what: "a server name like a flag",
    stdin: field("buildkit", { address: "tcp://a:1", tls: { server_name: "--addr" } }),
    message: /server_name: expected a host name/,
  },
  {
    what: "a password in the daemon's address",
    stdin: field("buildkit", { address: `ssh://user:${password}@host` }),
    message: /expected an address .* without a password/,
  },
  {
    what: "a password in the repository",
    stdin: `{"source":{"repository":"user:${password}@registry.example/app"}}`,
    message:
      /source\.repository: the value is not an image name: a user and a password can't be part of it; expected host/,
  },
  ...(["endpoint_url", "account_url"] as const).map((name) => ({
    what: `a password in a cache's ${name}`,
    stdin: field("cache", {
      ...(name === "endpoint_url" ? { type: "s3", bucket: "b", region: "r" } : { type: "azblob" }),
      [name]: `https://user:${password}@host.example/`,
    }),
    message: /source\.cache/,
  })),
];

for (const { what, stdin, message } of refused) {
  test(`${what} is refused with what to change`, async () => {
    await using folder = await createPrivateFolder("test-requests");
    await mkdir(join(folder.path, "app"));
    const store = join(folder.path, "builds");
    const request = typeof stdin === "string" ? stdin.replace("/nonexistent/builds", store) : stdin;
    const mark = `REQUEST_MARK_${crypto.randomUUID().replaceAll("-", "")}`;
    const env = { NO_COLOR: "1", [mark]: "1" };
    const run = await runResource("out", { stdin: request, args: [folder.path], env });
    assert.deepEqual(await processesOf(mark), []);
    assertFailedCleanly(run, message);
    assert.ok(!run.output.includes(password), run.output);
    assert.ok(run.output.length < 3000, run.output);
    assert.deepEqual(await readdir(store).catch(() => []), []);
    assert.deepEqual(
      (await readdir(folder.path)).filter((name) => name !== "builds"),
      ["app"],
    );
  });
}

test("a request without end is refused once it is larger than any pipeline's, with bounded memory", async () => {
  await using folder = await createPrivateFolder("test-requests");
  const endless = `yes '{"source":' | exec "$0" "$@"`;
  const run = await runResource("out", {
    under: ["time", "--format", "%M kB", "sh", "-c", endless],
    args: [folder.path],
  });
  assert.match(run.stderr, /the request on stdin is larger than 16777216 bytes; expected/);
  assert.equal(run.stdout, "");
  const [, kilobytes] = /^(\d+) kB$/m.exec(run.stderr) ?? [];
  assert.ok(Number(kilobytes) < 300_000, `${kilobytes} kB`);
});

test("a request of a hundred megabytes is refused within seconds", async () => {
  const stdin = Buffer.alloc(100_000_000, " ");
  stdin.write('{"source":{');
  const started = await startResource("check", { stdin });
  const run = await started.result;
  assertFailedCleanly(run, /the request on stdin is larger than 16777216 bytes/);
  assert.ok(run.milliseconds < 20_000, `${run.milliseconds} ms`);
});

test("of a name that is there twice, the last counts, as in Concourse's own reader", async () => {
  await using folder = await createPrivateFolder("test-requests");
  const twice = put('{"context":"first","context":"last"}').replace("/nonexistent", folder.path);
  const last = await runResource("out", { stdin: twice, args: [folder.path] });
  assertFailedCleanly(last, /context: artifact "last" is not among the put's inputs/);
});

test("names and values like flags, or with separators, are what they are", async () => {
  await using folder = await createPrivateFolder("test-requests");
  const labels = {
    constructor: "a",
    "a name": 'x,y="z"\nw',
    "--output": "--output=type=local,dest=/x",
    "a,b": "-",
  };
  const run = await smallPut({
    source: { directory: join(folder.path, "builds") },
    params: { labels, target: "--stage", dockerfile_inline: "FROM scratch\nCOPY Dockerfile /\n" },
  });
  assertFailedCleanly(run, /target stage "--stage" could not be found/);
  const built = await smallPut({ source: { directory: join(folder.path, "builds") }, params: { labels } });
  const { version } = versionOf(built);
  const to = join(folder.path, "got");
  const got = await runResource("in", {
    args: [to],
    stdin: { source: { directory: join(folder.path, "builds") }, version, params: { image_tar: false } },
  });
  versionOf(got);
  assert.deepEqual(JSON.parse(await readFile(join(to, "labels.json"), "utf8")), labels);
});
