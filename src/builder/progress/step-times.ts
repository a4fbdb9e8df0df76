import { type Digest, isDigest } from "../../image/digest.ts";
import type { BuildStep } from "./step.ts";

/** One step of a build, and what it took. */
export interface StepTimes {
  /** As in the log, `[build 2/4] RUN make`, but of any length, and nothing is masked in it. */
  readonly name: string;
  /** Milliseconds since 1970; undefined if it never ran. */
  readonly started: number | undefined;
  /** Milliseconds. */
  readonly took: number;
  /** Whether its result existed already. */
  readonly cached: boolean;
  /** Bytes of layers that were fetched for it. */
  readonly fetched: number;
}

/** An image that a build used. */
export interface NamedImage {
  /** `docker.io/library/alpine:3.22` */
  readonly name: string;
  readonly digest: Digest;
}

/** The steps that ended without an error, by the time when they began. Pure. */
export function stepTimes(steps: readonly BuildStep[]): StepTimes[] {
  return steps
    .filter(({ done, error }) => done && error === "")
    .map((step) => ({
      name: longName(step),
      started: step.began(),
      took: step.took(),
      cached: step.cached,
      fetched: step.fetched(),
    }))
    .toSorted((a, b) => (a.started ?? 0) - (b.started ?? 0));
}

function longName({ name, fullName }: BuildStep): string {
  const plain = fullName.replaceAll(/\s+/g, " ").trim();
  // If other solves build for other platforms, only our own name has the platform.
  return name.isInstruction ? `[${name.place}] ${plain.slice(plain.indexOf("] ") + 2)}` : plain;
}

/**
 * The images in names of steps. Once it has looked an image up, BuildKit names it by digest: `[build 1/4] FROM
 * docker.io/library/alpine:3.22@sha256:…`, and for a frontend `docker-image://docker.io/docker/dockerfile:1@sha256:…`.
 * Pure.
 */
export function namedImages(steps: readonly BuildStep[]): NamedImage[] {
  const found = new Map<string, NamedImage>();
  for (const { fullName } of steps) {
    const [, name = "", digest = ""] =
      /(?:(?:^|\] )FROM |docker-image:\/\/)([^\s@]+)@(sha256:[0-9a-f]{64})/.exec(fullName) ?? [];
    if (isDigest(digest)) found.set(`${name} ${digest}`, { name, digest });
  }
  return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The images that BuildKit has looked up, by the names that were asked for, which a source policy may have converted:
 * `[internal] load metadata for docker.io/library/alpine:3.22`, and for a frontend `resolve image config for
 * docker-image://docker.io/docker/dockerfile:1`. Pure.
 */
export function lookedUpImages(steps: readonly BuildStep[]): string[] {
  const found = steps.flatMap(
    ({ fullName }) =>
      /(?:load metadata|resolve image config) for (?:docker-image:\/\/)?(\S+)/.exec(fullName)?.[1] ?? [],
  );
  return [...new Set(found)].toSorted();
}
