import assert from "node:assert/strict";
import { test } from "node:test";
import { planTags, type TagWishes } from "../../src/store/tag-plan.ts";

const none: TagWishes = {
  tags: [],
  tagsFromFiles: [],
  isReserved: () => false,
  prefix: "",
  version: undefined,
  variant: undefined,
  bumpAliases: false,
};

function allTags(wishes: Partial<TagWishes>, existing: readonly string[] = []): string[] {
  const plan = planTags({ ...none, ...wishes });
  return [...plan.tags, ...(plan.aliases?.(existing) ?? [])];
}

interface Row {
  readonly what: string;
  readonly wishes: Partial<TagWishes>;
  readonly existing?: readonly string[];
  readonly gives: readonly string[];
}

const rows: readonly Row[] = [
  { what: "a first version moves every alias", wishes: {}, gives: ["1.2.3", "1.2", "1", "latest"] },
  {
    what: "the newest version moves every alias",
    wishes: {},
    existing: ["1.2.2", "1.2", "1.1.9", "1", "latest", "0.9", "main", `build-${"a".repeat(64)}`],
    gives: ["1.2.3", "1.2", "1", "latest"],
  },
  {
    what: "a version tagged once more moves them again",
    wishes: {},
    existing: ["1.2.3", "1.2"],
    gives: ["1.2.3", "1.2", "1", "latest"],
  },
  {
    what: "a patch of an older major leaves latest alone",
    wishes: {},
    existing: ["2.0.0"],
    gives: ["1.2.3", "1.2", "1"],
  },
  {
    what: "a patch of an older minor moves its own alias alone",
    wishes: {},
    existing: ["1.10.0"],
    gives: ["1.2.3", "1.2"],
  },
  { what: "an older patch moves none", wishes: {}, existing: ["1.2.10"], gives: ["1.2.3"] },
  {
    what: "prereleases and variants of newer versions don't count",
    wishes: {},
    existing: ["2.0.0-rc.1", "1.3.0-alpine", "1.2.4-beta"],
    gives: ["1.2.3", "1.2", "1", "latest"],
  },
  { what: "a prerelease moves none", wishes: { version: "1.2.3-rc.1" }, gives: ["1.2.3-rc.1"] },
  {
    what: "a variant has aliases of its own",
    wishes: { variant: "alpine" },
    existing: ["2.0.0", "1.2.4", "1.2.2-alpine", "1.2.4-rc.1-alpine"],
    gives: ["1.2.3-alpine", "1.2-alpine", "1-alpine", "alpine"],
  },
  {
    what: "a newer version of the same variant keeps its aliases",
    wishes: { variant: "alpine" },
    existing: ["1.3.0-alpine"],
    gives: ["1.2.3-alpine", "1.2-alpine"],
  },
  {
    what: "a prefix stands before numbers alone",
    wishes: { prefix: "app-" },
    existing: ["9.9.9", "app-1.2.2"],
    gives: ["app-1.2.3", "app-1.2", "app-1", "latest"],
  },
  { what: "a leading v is left out", wishes: { version: "v1.2.3" }, gives: ["1.2.3", "1.2", "1", "latest"] },
  { what: "missing numbers are zeros", wishes: { version: "1.2" }, gives: ["1.2.0", "1.2", "1", "latest"] },
];

for (const { what, wishes, existing, gives } of rows) {
  test(`aliases: ${what}`, () => {
    assert.deepEqual(allTags({ version: "1.2.3", bumpAliases: true, ...wishes }, existing), gives);
  });
}

test("tags come as they are, those of a file with the prefix, each once", () => {
  const wishes = { tags: ["one", "v2"], tagsFromFiles: ["v2", "v3"], prefix: "v", version: "3.0.0" };
  assert.deepEqual(allTags(wishes), ["one", "v2", "v3", "v3.0.0"]);
});

const refused: readonly (readonly [string, Partial<TagWishes>, RegExp])[] = [
  ["a tag with a slash", { tags: ["a/b"] }, /params\.tags: "a\/b" is not a tag; expected up to 128 letters/],
  ["a tag that begins with a dot", { tags: [".a"] }, /params\.tags: "\.a" is not a tag/],
  ["an empty tag", { tags: [""] }, /params\.tags: "" is not a tag/],
  ["a tag of 129 characters", { tagsFromFiles: ["a".repeat(129)] }, /params\.tags_file: .* is not a tag/],
  ["a prefix that makes no tag", { tagsFromFiles: ["-a"] }, /params\.tags_file: "-a" is not a tag/],
  ["a variant with a blank", { variant: "a b", version: "1.0.0" }, /variant: "a b" is not a tag/],
  [
    "a version of a file that is two",
    { version: "1.4.0 1.5.0", versionParam: "version_file" },
    /^version_file: "1\.4\.0 1\.5\.0" is not a semantic version/,
  ],
  ["a version that is a word", { version: "latest" }, /params\.version: "latest" is not a semantic version/],
  [
    "a version with leading zeros",
    { version: "1.02.3" },
    /params\.version: "1\.02\.3" is not a semantic version/,
  ],
  ["build metadata", { version: "1.2.3+4" }, /params\.version: "1\.2\.3\+4" has build metadata/],
  [
    "a tag that builds are kept under",
    { tags: [`build-${"0".repeat(64)}`] },
    /params\.tags: .* builds are kept under/,
  ],
];

for (const [what, wishes, message] of refused) {
  test(`${what} is refused`, () => {
    assert.throws(() => planTags({ ...none, ...wishes }), { name: "UserError", message });
  });
}
