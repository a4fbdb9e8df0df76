import { maskCredentials } from "../../host/mask-credentials.ts";
import { OutputLines } from "./lines.ts";

/** What a vertex's name says: `[linux/arm64 build 2/4] RUN make` is an instruction of the Dockerfile. */
export interface StepName {
  /** `build 2/4`; for what is no instruction, empty. */
  readonly place: string;
  /** The instruction, or what BuildKit does beside the Dockerfile, on one line. */
  readonly text: string;
  readonly isInstruction: boolean;
}

export function parseVertexName(name: string): StepName {
  const plain = maskCredentials(name.replaceAll(/\s+/g, " ").trim());
  const [, place, text] = /^\[((?!internal\b|auth\b|context\b)[^\]]*\b\d+\/\d+)\] (.*)$/.exec(plain) ?? [];
  if (place === undefined || text === undefined) return { place: "", text: plain, isInstruction: false };
  return { place, text, isInstruction: true };
}

/** A step as far as it has come; kept for all solves of a build, which share steps by their digest. */
export class BuildStep {
  readonly name: StepName;
  readonly output = new OutputLines();
  /** The last lines of its output, for the message when it fails. */
  readonly lastLines: string[] = [];
  announced = false;
  done = false;
  /** Known at the end alone: what is fetched from a cache looks like work until it has come. */
  cached = false;
  error = "";

  constructor(name: string) {
    this.name = parseVertexName(name);
  }

  keep(line: string): void {
    this.lastLines.push(line);
    if (this.lastLines.length > 20) this.lastLines.shift();
  }
}
