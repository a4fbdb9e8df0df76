import { maskCredentials } from "../../host/mask-credentials.ts";
import { sum } from "../../host/sum.ts";
import type { PartialWork, Vertex } from "./events.ts";
import { OutputLines } from "./lines.ts";

/** What a vertex's name says: `[linux/arm64 build 2/4] RUN make` is an instruction of the Dockerfile. */
export interface StepName {
  /** `build 2/4`; for what is no instruction, empty. */
  readonly place: string;
  /** The instruction, or what BuildKit does beside the Dockerfile, on one line. */
  readonly text: string;
  readonly isInstruction: boolean;
}

/** Characters of an instruction that are shown. */
const titleLength = 160;
/** Characters of `[…]` before it. */
const placeLength = 300;

/** @param platform that of the whole solve, where others build for others; BuildKit names it only where one solve has several */
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
  if (!isInstruction) return { place: "", text: shorten(plain), isInstruction };
  return {
    place: platform === undefined || place.startsWith(platform) ? place : `${platform} ${place}`,
    text: shorten(plain.slice(end + 2)),
    isInstruction,
  };
}

/** Cuts what is too long for a line of the log. */
export function shorten(text: string, length = titleLength): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

/** A step as far as it has come; kept for all solves of a build, which share steps by their digest. */
export class BuildStep {
  readonly name: StepName;
  readonly output = new OutputLines();
  /** Bytes of output that were taken so far, from whichever solve told them first. */
  taken = 0;
  /** The last lines of its output, for the message when it fails. */
  readonly lastLines: string[] = [];
  announced = false;
  done = false;
  /**
   * Its result was there already. Known at the end alone: what is fetched from a cache looks like work until it has
   * come; and while it is fetched later, BuildKit tells the step as one that runs.
   */
  cached = false;
  error = "";
  /** By when each began, as BuildKit writes it. */
  readonly #spans = new Map<string, { readonly from: number; readonly to: number | undefined }>();
  readonly #parts = new Map<string, PartialWork>();

  constructor(name: StepName) {
    this.name = name;
  }

  keep(line: string): void {
    this.lastLines.push(line);
    if (this.lastLines.length > 20) this.lastLines.shift();
  }

  /** A step may begin and end several times: each time that BuildKit has to do with it. */
  note({ started, completed }: Vertex): void {
    if (!isTime(started)) return;
    const to = isTime(completed) ? Date.parse(completed) : undefined;
    this.#spans.set(started, { from: Date.parse(started), to });
  }

  /** Answers whether the part has begun or ended with this, and hadn't for another solve. */
  notePart(part: PartialWork): boolean {
    const known = this.#parts.get(part.id);
    if (isTime(known?.completed)) return false;
    this.#parts.set(part.id, part);
    return known === undefined || isTime(part.completed);
  }

  /** Milliseconds that it took so far. Solves that share it tell of the same time, each in its own words. */
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

  /** Milliseconds that the parts took that are named so. */
  partsTook(name: RegExp): number {
    const parts = [...this.#parts.values()].filter(({ id }) => name.test(id));
    return sum(
      parts.map(({ started, completed }) =>
        isTime(started) && isTime(completed) ? Date.parse(completed) - Date.parse(started) : 0,
      ),
    );
  }

  /** Bytes of layers that were fetched for it. */
  fetched(): number {
    return sum([...this.#parts.values()].map(({ id, total }) => (id.startsWith("sha256:") ? total : 0)));
  }
}

export function isTime(time: string | null | undefined): time is string {
  return time !== undefined && time !== null && time !== "";
}
