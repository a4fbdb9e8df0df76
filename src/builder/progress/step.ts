import { maskCredentials, withoutQueries } from "../../host/mask-credentials.ts";
import { sum } from "../../host/sum.ts";
import type { PartialWork, Vertex } from "./events.ts";
import { OutputLines } from "./lines.ts";

/** The content of a vertex's name: `[linux/arm64 build 2/4] RUN make` is an instruction of the Dockerfile. */
export interface StepName {
  /** `build 2/4`; empty if the step is not an instruction. */
  readonly place: string;
  /** The instruction, or the name of BuildKit's own work, on one line. */
  readonly text: string;
  readonly isInstruction: boolean;
}

/** The beginnings of BuildKit's names for what it does with layer caches, and with a build's result. */
export const importingCache: RegExp = /^importing cache manifest from /;
export const exportingCache: RegExp = /^exporting cache to /;
export const exportingResult: RegExp = /^exporting to /;

/** Characters of an instruction that are shown. */
const titleLength = 160;
/** Characters that the `[…]` before it may have. */
const placeLength = 300;

/**
 * Parses a vertex's name.
 * @param platform the platform of the whole solve, if other solves build for other platforms. BuildKit names the
 * platform only if one solve has several.
 */
export function parseVertexName(name: string, platform?: string): StepName {
  const plain = maskCredentials(name.replaceAll(/\s+/g, " ").trim());
  const end = plain.indexOf("] ");
  const place = plain.slice(1, end);
  const isInstruction =
    plain.startsWith("[") &&
    end !== -1 &&
    end < placeLength &&
    /(?:^| )\d+\/\d+$/.test(place) &&
    !/^(?:internal|auth|context)\b/.test(place);
  // The URL of a context may be signed in its query. An instruction is shown as it is written.
  if (!isInstruction) return { place: "", text: shorten(withoutQueries(plain)), isInstruction };
  return {
    place: platform === undefined || place.startsWith(platform) ? place : `${platform} ${place}`,
    text: shorten(plain.slice(end + 2)),
    isInstruction,
  };
}

/**
 * The platform that a step's place names: `linux/arm64` in `linux/arm64 build 2/4`. BuildKit writes `linux/amd64->arm64`
 * for a stage that runs on one platform and builds for another; this is the latter.
 */
export function platformIn({ place }: StepName): string | undefined {
  const [word = ""] = place.split(" ");
  const [own = "", target] = word.split("->");
  if (!/^[a-z0-9]+(\([^)]*\))?\/[a-z0-9_-]+/.test(own)) return undefined;
  if (target === undefined) return own;
  const [os = "", architecture] = own.split("/");
  if (/^v\d/.test(target)) return `${os}/${architecture}/${target}`;
  // Another operating system is named too.
  return /^(linux|windows|darwin|freebsd|wasi)\//.test(target) ? target : `${os}/${target}`;
}

/** Cuts a text that is too long for a line of the log. */
export function shorten(text: string, length = titleLength): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** The state of a step. It is kept for all solves of a build, which share steps by their digest. */
export class BuildStep {
  readonly name: StepName;
  /** As BuildKit writes it. */
  readonly fullName: string;
  /** The platform that it is for, if the build has several. */
  readonly platform: string | undefined;
  readonly output = new OutputLines();
  /** Bytes of output taken so far, from whichever solve reported them first. */
  taken = 0;
  /** The last lines of its output, for the message if it fails. */
  readonly lastLines: string[] = [];
  announced = false;
  done = false;
  /**
   * Whether the step's result existed already. This is only known at the end: until a result has been fetched from
   * a cache, BuildKit reports the step as running. If the result is fetched later, the step is reported as running
   * again.
   */
  cached = false;
  error = "";
  /** The periods in which the step ran, by the time when each began, as BuildKit writes it. */
  readonly #spans = new Map<string, { readonly from: number; readonly to: number | undefined }>();
  readonly #parts = new Map<string, PartialWork>();

  /**
   * @param fullName the vertex's name as BuildKit writes it
   * @param platform of the steps whose results it uses
   */
  constructor(name: StepName, fullName: string, platform?: string) {
    this.name = name;
    this.fullName = fullName;
    this.platform = platformIn(name) ?? platform;
  }

  keep(line: string): void {
    this.lastLines.push(line);
    if (this.lastLines.length > 20) this.lastLines.shift();
  }

  /** Records a period of work. A step has several if BuildKit works on it several times. */
  note({ started, completed }: Vertex): void {
    if (!isTime(started)) return;
    const to = isTime(completed) ? Date.parse(completed) : undefined;
    this.#spans.set(started, { from: Date.parse(started), to });
  }

  /**
   * Records the state of a part. Returns true if the part has begun or ended with it, and no solve had reported
   * that.
   */
  notePart(part: PartialWork): boolean {
    const known = this.#parts.get(part.id);
    if (isTime(known?.completed)) return false;
    this.#parts.set(part.id, part);
    return known === undefined || isTime(part.completed);
  }

  /**
   * Milliseconds of work so far. Solves that share the step each report the same periods, so
   * overlapping ones count once.
   */
  took(): number {
    let total = 0;
    let covered = 0;
    for (const { from, to } of [...this.#spans.values()].toSorted((a, b) => a.from - b.from)) {
      if (to === undefined || to <= covered) continue;
      total += to - Math.max(from, covered);
      covered = to;
    }
    return total;
  }

  /** When it first began, in milliseconds since 1970. Undefined if it never ran. */
  began(): number | undefined {
    const times = [...this.#spans.values()].map(({ from }) => from);
    return times.length === 0 ? undefined : Math.min(...times);
  }

  /** Milliseconds taken by the parts whose names match. */
  partsTook(name: RegExp): number {
    const parts = [...this.#parts.values()].filter(({ id }) => name.test(id));
    return sum(
      parts.map(({ started, completed }) =>
        isTime(started) && isTime(completed) ? Date.parse(completed) - Date.parse(started) : 0,
      ),
    );
  }

  /** From the beginning of the first part whose name matches to the end of the last. Undefined if none has ended. */
  periodOf(name: RegExp): { readonly from: number; readonly to: number } | undefined {
    const parts = [...this.#parts.values()].flatMap(({ id, started, completed }) =>
      name.test(id) && isTime(started) && isTime(completed)
        ? [{ from: Date.parse(started), to: Date.parse(completed) }]
        : [],
    );
    if (parts.length === 0) return undefined;
    return { from: Math.min(...parts.map(({ from }) => from)), to: Math.max(...parts.map(({ to }) => to)) };
  }

  /** Bytes of the layers that were fetched for the step. */
  fetched(): number {
    return sum([...this.#parts.values()].map(({ id, total }) => (id.startsWith("sha256:") ? total : 0)));
  }
}

export function isTime(time: string | null | undefined): time is string {
  return time !== undefined && time !== null && time !== "";
}
