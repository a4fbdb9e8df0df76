import assert from "node:assert/strict";
import { test } from "node:test";
import { imageLabels, imageMetadata } from "../../src/delivery/metadata.ts";
import { digestOf } from "../../src/image/digest.ts";
import { ImageConfig, parseDocument, parseManifestOrIndex } from "../../src/image/documents.ts";
import { mediaTypes } from "../../src/image/media-types.ts";

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const config = (value: unknown) => parseDocument(ImageConfig, json(value), "config");
const platform = { os: "linux", architecture: "amd64" };
const empty = { ...platform, rootfs: { type: "layers", diff_ids: null } };
const descriptor = { mediaType: mediaTypes.ociConfig, digest: digestOf(Buffer.from("x")), size: 1 };

test("what Go writes for nothing, and what is left out, is nothing", () => {
  const nothing = { env: [], user: "", entrypoint: [], cmd: [], workdir: "" };
  for (const given of [
    empty,
    { ...empty, config: null, history: null },
    { ...empty, config: {} },
    {
      ...empty,
      config: { Env: null, User: null, Entrypoint: null, Cmd: null, WorkingDir: null, Labels: null },
    },
  ]) {
    assert.deepEqual(imageMetadata(config(given)), nothing);
    assert.deepEqual(imageLabels(config(given)), {});
  }
});

test("null is read as Go reads it, in every field that may be left out", () => {
  const nulls = { annotations: null, platform: null, data: null, urls: null };
  const entry = { ...descriptor, ...nulls };
  const index = { schemaVersion: 2, mediaType: null, manifests: [entry], annotations: null };
  const read = parseManifestOrIndex(mediaTypes.ociIndex, json(index), "it");
  assert.ok(read.kind === "index");
  assert.deepEqual(
    read.index.manifests.map(({ annotations, platform: of, data }) => ({ annotations, of, data })),
    [{ annotations: undefined, of: undefined, data: undefined }],
  );
  const manifest = { schemaVersion: 2, mediaType: null, artifactType: null, config: entry, layers: [entry] };
  assert.equal(parseManifestOrIndex(mediaTypes.ociManifest, json(manifest), "it").kind, "manifest");
  const values = {
    ...empty,
    variant: null,
    "os.version": null,
    created: null,
    history: [{ created_by: null }],
  };
  const { variant, config: run } = config({ ...values, config: { Labels: { a: null } } });
  assert.deepEqual({ variant, labels: run.Labels }, { variant: undefined, labels: { a: "" } });
});

test("commands may be strings, as the first Docker versions wrote them", () => {
  const { entrypoint, cmd } = imageMetadata(
    config({ ...empty, config: { Entrypoint: "/bin/app", Cmd: "help" } }),
  );
  assert.deepEqual({ entrypoint, cmd }, { entrypoint: ["/bin/app"], cmd: ["help"] });
});

test("labels come in the order of their code points", () => {
  const labels = imageLabels(
    config({ ...empty, config: { Labels: { b: "", B: "x", "a.b": "\n", ä: "ü" } } }),
  );
  assert.equal(JSON.stringify(labels), '{"B":"x","a.b":"\\n","b":"","ä":"ü"}');
});

test("a Windows image, a history of another length and unknown fields are no fault", () => {
  const windows = { ...empty, os: "windows", "os.version": "10.0.17763.1", "os.features": ["win32k"] };
  assert.equal(config(windows)["os.version"], "10.0.17763.1");
  assert.equal(config({ ...empty, history: [{}, { empty_layer: true }], author: 1 }).history.length, 2);
});

test("a config that lacks what an image must have is refused by the field's name", () => {
  const rows: readonly (readonly [unknown, RegExp])[] = [
    [{ ...platform }, /^UserError: config: rootfs: /],
    [{ ...empty, os: 1 }, /^UserError: config: os: /],
    [{ ...empty, rootfs: { type: "tar", diff_ids: [] } }, /config: rootfs\.type: /],
    [
      { ...empty, rootfs: { type: "layers", diff_ids: ["sha256:../x"] } },
      /rootfs\.diff_ids\[0\]: expected sha256:/,
    ],
    [{ ...empty, config: { Env: [1] } }, /config: config\.Env\[0\]: /],
    [[], /config: /],
    [null, /config: /],
  ];
  for (const [value, message] of rows) assert.throws(() => config(value), message);
  assert.throws(
    () => parseDocument(ImageConfig, Buffer.from("{"), "config"),
    /config: expected JSON, found "\{"/,
  );
  assert.throws(
    () => parseDocument(ImageConfig, Buffer.alloc(0), "config"),
    /config: expected JSON, found nothing/,
  );
});

const reading = (text: string) => () => parseDocument(ImageConfig, Buffer.from(text), "it");

test("JSON with a key twice, or in two cases where readers in Go see one field, is refused", () => {
  const rest = `"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}`;
  const refused = [
    `{${rest},"os":"windows"}`,
    `{${rest},"OS":"windows"}`,
    `{${rest},"o\\u0073":"windows"}`,
    `{${rest},"o\u017f":"windows"}`,
    `{${rest},"config":{"Env":[],"env":["A=b"]}}`,
    `{${rest},"config":{"Labels":{"a":"1","a":"2"}}}`,
    `{${rest},"history":[{"created_by":"x","Created_By":"y"}]}`,
  ];
  for (const text of refused) assert.throws(reading(text), /it: has the key ".*" twice/, text);
  const taken = [
    `{${rest},"config":{"Labels":{"a":"\\"A\\":","A":"{"}},"x":["a","a",{"a":1},{"a":2}]}`,
    `{${rest},"config":{"ExposedPorts":{"80/TCP":{},"80/tcp":{}}},"os.version":"os"}`,
  ];
  for (const text of taken) assert.doesNotThrow(reading(text), text);
  // Time stays linear in what a document may have at most.
  const long = `{${rest},"x":${JSON.stringify("\\".repeat(1_900_000))}}`;
  assert.doesNotThrow(reading(long));
});

test("manifests and indexes are told by their media types, of the OCI and of Docker", () => {
  for (const mediaType of [mediaTypes.ociManifest, mediaTypes.dockerManifest]) {
    const manifest = { schemaVersion: 2, config: descriptor, layers: null };
    const read = parseManifestOrIndex(mediaType, json(manifest), "it");
    assert.ok(read.kind === "manifest" && read.manifest.layers.length === 0);
  }
  for (const mediaType of [mediaTypes.ociIndex, mediaTypes.dockerIndex]) {
    const read = parseManifestOrIndex(
      mediaType,
      json({ schemaVersion: 2, mediaType, manifests: null }),
      "it",
    );
    assert.ok(read.kind === "index" && read.index.manifests.length === 0);
  }
});

test("a document that two readers could read differently is refused", () => {
  const manifest = { schemaVersion: 2, config: descriptor, layers: [] };
  const rows: readonly (readonly [string, object, RegExp])[] = [
    [
      mediaTypes.ociManifest,
      { ...manifest, manifests: [] },
      /fields of an index \(manifests\) and of a manifest/,
    ],
    [mediaTypes.ociIndex, { schemaVersion: 2, manifests: [], layers: [] }, /it must be one of them/],
    [mediaTypes.ociManifest, { ...manifest, mediaType: mediaTypes.ociIndex }, /the two must be equal/],
    [mediaTypes.ociManifest, { ...manifest, schemaVersion: 1 }, /schemaVersion/],
    [mediaTypes.ociLayer, manifest, /is neither a manifest nor an index of images/],
  ];
  for (const [mediaType, document, message] of rows)
    assert.throws(() => parseManifestOrIndex(mediaType, json(document), "it"), message);
});
