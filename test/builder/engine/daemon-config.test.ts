import assert from "node:assert/strict";
import { test } from "node:test";
import { parse as parseToml } from "smol-toml";
import { daemonConfig, ignoredConfig } from "../../../src/builder/engine/daemon-config.ts";

/** As plain objects: the parser's have no prototype. */
function parse(toml: string): Record<string, unknown> {
  return JSON.parse(JSON.stringify(parseToml(toml)));
}

const plain = {
  root: "/scratch/state",
  socket: "/run/x/buildkitd.sock",
  tracesSocket: "/run/x/traces.sock",
  entitlements: [],
  registries: new Map([
    ["registry.example:5000", { ca: ["/run/x/ca.pem"], mirrors: ["mirror.example/hub"] }],
  ]),
  extra: [],
};

test("the author's TOML is merged with what the step needs: tables merge, lists are joined", () => {
  const text = `
    debug = true
    [registry."registry.example:5000"]
    ca = ["/var/certs/mine.pem"]
    http = true
    [registry."other.example"]
    insecure = true
    [worker.oci]
    max-parallelism = 4`;
  const merged = parse(daemonConfig({ ...plain, extra: [{ subject: "buildkit_config", text }] }));
  assert.deepEqual(merged["registry"], {
    "registry.example:5000": {
      ca: ["/run/x/ca.pem", "/var/certs/mine.pem"],
      mirrors: ["mirror.example/hub"],
      http: true,
    },
    "other.example": { insecure: true },
  });
  assert.deepEqual(merged["worker"], {
    oci: { enabled: true, "max-parallelism": 4, gc: false },
    containerd: { enabled: false },
  });
  assert.equal(merged["debug"], true);
});

/** The settings of BuildKit's worker, with the author's TOML. */
function oci(text: string): unknown {
  const { worker } = parse(daemonConfig({ ...plain, extra: [{ subject: "buildkit_config", text }] }));
  assert.ok(typeof worker === "object" && worker !== null && "oci" in worker);
  return worker.oci;
}

test("garbage is only collected if the author's TOML says how", () => {
  assert.deepEqual(oci(""), { enabled: true, gc: false });
  for (const text of ["gc = true", 'gckeepstorage = "1GB"', "GC = false"])
    assert.deepEqual(oci(`[worker.oci]\n${text}`), { enabled: true, ...parse(text) });
});

test("a value that the step itself sets is refused by its name", () => {
  const extra = [{ subject: "buildkit_config", text: 'root = "/elsewhere"' }];
  assert.throws(() => daemonConfig({ ...plain, extra }), {
    name: "UserError",
    message: /^buildkit_config sets root,/,
  });
});

test("text that isn't TOML is refused by its line, without a word of it", () => {
  const extra = [{ subject: "buildkit_extra_config", text: 'a = 1\npassword "hunter2"' }];
  assert.throws(
    () => daemonConfig({ ...plain, extra }),
    (error: Error) => {
      assert.match(error.message, /^buildkit_extra_config is not TOML \(line 2\)/);
      assert.doesNotMatch(error.message, /hunter2/);
      return true;
    },
  );
});

test("a host name with quotes and line breaks stays one key", () => {
  const host = 'x"]\n[worker.oci]\nbinary = "/evil';
  const merged = parse(daemonConfig({ ...plain, registries: new Map([[host, { http: true }]]) }));
  assert.deepEqual(merged["registry"], { [host]: { http: true } });
});

/** What is warned of in this TOML. */
const ignored = (text: string) => ignoredConfig({ extra: [{ subject: "buildkit_config", text }] });

test("keys that BuildKit doesn't know are warned of, with those that may be meant", () => {
  assert.deepEqual(ignored("max-paralelism = 4\n[worker.oci]\nmax-paralelism = 4\ngcc = true"), [
    "buildkit_config: BuildKit doesn't know max-paralelism, worker.oci.max-paralelism (did you mean max-parallelism?), worker.oci.gcc (did you mean gc?), and ignores it",
  ]);
  assert.match(
    ignored('[registry."a.example"]\nmirror = ["b"]')[0] ?? "",
    /registry\."a\.example"\.mirror \(did you mean mirrors\?\)/,
  );
  assert.match(
    ignored("[[worker.oci.gcpolicy]]\nkeepbytes = 1\nkeepDays = 2")[0] ?? "",
    /gcpolicy\.keepDays/,
  );
});

test("what BuildKit knows is not warned of", () => {
  const text = `
    debug = true
    [log]
    format = "json"
    [worker.oci]
    max-parallelism = 4
    Snapshotter = "native"
    labels = { any = "thing" }
    [[worker.oci.gcpolicy]]
    keepDuration = "48h"
    filters = ["type==exec.cachemount"]
    [registry."a.example:5000"]
    mirrors = ["b.example"]
    [[registry."a.example:5000".keypair]]
    key = "/k"
    cert = "/c"
    [frontend."gateway.v0"]
    enabled = false`;
  assert.deepEqual(ignored(text), []);
});
