import { setTimeout } from "node:timers/promises";
import { getHeapSnapshot, setFlagsFromString } from "node:v8";
import { namesOfPut } from "../host/author-names.ts";
import { createLog } from "../host/log.ts";
import type { StepContext } from "../host/step-context.ts";
import { untraced } from "../host/trace.ts";
import { readCheckRequest } from "../request/check-request.ts";
import { readOutRequest } from "../request/out-request.ts";
import { get } from "./in.ts";
import { put } from "./out.ts";
import { putRules } from "./put-rules.ts";

/**
 * Loads what a check, a put and a get need, reads requests, and does puts and gets, so that a start-up snapshot that is
 * made now holds it all loaded and compiled. Takes nothing from the environment: that would be in the snapshot as well.
 * @param folder has what these puts and gets need: the inputs in `put`, and in `bin` a buildctl that needs no daemon
 */
export async function warmUp(folder: string): Promise<void> {
  await Promise.all([import("./check.ts"), import("../store/registry/registry-store.ts")]);
  await practise(folder, "first");
  // Most functions so far have only run because they were new: to load modules and to make schemas.
  await dropBytecode();
  await practise(folder, "second");
  await settle();
}

async function practise(folder: string, store: string): Promise<void> {
  const kept = { directory: `${folder}/${store}` };
  const pushed = { repository: "registry.example/app", username: "me", password: "secret" };
  for (const place of [kept, pushed]) {
    readOutRequest(putRequest(place), putRules);
    readCheckRequest(JSON.stringify({ source: sourceWith(place), version: null }));
  }
  // The second put finds the build of the first.
  for (const _ of [1, 2]) await rehearse(folder, kept);
}

function putRequest(place: object): string {
  return JSON.stringify({ source: sourceWith(place), params: { context: "app" } });
}

function sourceWith(place: object): object {
  return { ...place, buildkit: { address: "tcp://buildkit.example:1234" }, keep: { builds: 1 } };
}

async function rehearse(folder: string, place: object): Promise<void> {
  const { signal } = new AbortController();
  const step: StepContext = {
    env: { PATH: `${folder}/bin:/usr/bin:/bin` },
    cwd: folder,
    arch: "x64",
    log: createLog({ write: () => {}, colours: true }),
    names: namesOfPut,
    signal,
    late: signal,
    kill: () => {},
    trace: untraced,
    spansUrl: undefined,
  };
  globalThis.AsyncDisposableStack ??= DisposableStandIn as never;
  try {
    const { version } = await put({
      step,
      args: [`${folder}/put`],
      readInput: async () => putRequest(place),
    });
    // Delivers no image: what writes one calls libc, which can't be in a snapshot.
    const params = { skip_download: true, platform: "linux/amd64" };
    const input = JSON.stringify({ source: sourceWith(place), version, params });
    await get({ step, args: [`${folder}/got`], readInput: async () => input });
  } finally {
    if (globalThis.AsyncDisposableStack === (DisposableStandIn as never))
      Reflect.deleteProperty(globalThis, "AsyncDisposableStack");
  }
}

/** V8 doesn't have its newest classes yet while a snapshot is made; each program that starts from it has them. */
class DisposableStandIn implements AsyncDisposable {
  #held: (() => unknown)[] = [];

  use<T extends AsyncDisposable>(value: T): T {
    this.defer(() => value[Symbol.asyncDispose]());
    return value;
  }

  defer(dispose: () => unknown): void {
    this.#held.unshift(dispose);
  }

  move(): DisposableStandIn {
    const moved = new DisposableStandIn();
    moved.#held = this.#held.splice(0);
    return moved;
  }

  async disposeAsync(): Promise<void> {
    for (const dispose of this.#held.splice(0)) await dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.disposeAsync();
  }
}

/** Compiled functions are a quarter of the snapshot otherwise, and half a megabyte more of the image. */
async function dropBytecode(): Promise<void> {
  setFlagsFromString("--stress-flush-code");
  await collectGarbage();
  setFlagsFromString("--no-stress-flush-code");
}

/**
 * Leaves nothing to come. Node would take the time of a timer that is left for its next one, and start none before. V8
 * can't put objects into a snapshot that wait for a clean-up after they were garbage.
 */
async function settle(): Promise<void> {
  // Longer than any timer that a put or a get leaves when it ends (builder/solve/stated-versions.ts).
  await setTimeout(2000);
  await collectGarbage();
}

async function collectGarbage(): Promise<void> {
  // A heap snapshot begins with that.
  getHeapSnapshot().destroy();
  await setTimeout(1);
}
