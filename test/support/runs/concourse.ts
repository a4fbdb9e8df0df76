import assert from "node:assert/strict";
import { join } from "node:path";
import { type Run, responseOf, runResource, versionOf } from "./resource.ts";

type Fields = Readonly<Record<string, unknown>>;
type Version = ReturnType<typeof versionOf>["version"];

/** A resource as Concourse keeps it: the versions that it has seen, and the gets that it may reuse. */
export interface ConcourseResource {
  /** In the order in which they were seen; a known one isn't moved. */
  readonly history: readonly Version[];
  /** Takes the version of a put that succeeded, and does the get that follows each put. */
  took(put: Run, getParams?: Fields): Promise<string>;
  /** Asks `check` for what is newer than the newest, and gets the newest: what a job with `trigger: true` gets. */
  newest(getParams?: Fields): Promise<string>;
}

/**
 * Concourse's rules for the versions of one resource: a version is a new one if no equal one is known; a get of an
 * equal version with equal params is not run again, its folder is reused.
 */
export function createConcourseResource(source: Fields, folder: string): ConcourseResource {
  const history: Version[] = [];
  const cache = new Map<string, string>();
  const see = (version: Version) => {
    if (!history.some((known) => same(known, version))) history.push(version);
  };
  const get = async (version: Version, params: Fields): Promise<string> => {
    const key = canonical({ version, params });
    const cached = cache.get(key);
    if (cached !== undefined) return cached;
    const to = join(folder, `get-${cache.size}`);
    const run = await runResource("in", { args: [to], stdin: { source, version, params } });
    assert.deepEqual(versionOf(run).version, version, "a get answers the version it was given");
    cache.set(key, to);
    return to;
  };
  return {
    history,
    async took(put, getParams = {}) {
      const { version } = versionOf(put);
      assert.ok(
        Object.values(version).every((value) => typeof value === "string"),
        "every value of a version is a string",
      );
      see(version);
      return get(version, getParams);
    },
    async newest(getParams = {}) {
      const last = history.at(-1);
      const checked = responseOf(
        await runResource("check", { stdin: { source, version: last ?? null } }),
      ) as Version[];
      for (const version of checked) see(version);
      const newest = history.at(-1);
      assert.ok(newest);
      return get(newest, getParams);
    },
  };
}

/** Maps are equal whatever the order of their names. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, content: unknown) =>
    typeof content === "object" && content !== null && !Array.isArray(content)
      ? Object.fromEntries(Object.entries(content).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : content,
  );
}

function same(one: Version, other: Version): boolean {
  return canonical(one) === canonical(other);
}
