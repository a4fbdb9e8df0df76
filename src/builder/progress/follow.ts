import { type Log, styled } from "../../host/log.ts";
import { maskCredentials, withoutQueries } from "../../host/mask-credentials.ts";
import { type ProgressEvent, parseEvent, type Vertex, type Warning } from "./events.ts";
import { failureMessage, type ShownDockerfile } from "./failure.ts";
import type { FollowedSolve } from "./followed-solve.ts";
import { LineSplitter } from "./lines.ts";
import { followPlainText } from "./plain.ts";
import { BuildStep, type StepName } from "./step.ts";
import { formatSeconds, isClientLog } from "./text.ts";

export interface ProgressBoardOptions {
  readonly log: Log;
  /** `steps`: buildctl writes rawjson. `plain`: buildctl writes text for people, which is passed on. */
  readonly style: "steps" | "plain";
  readonly dockerfile?: ShownDockerfile;
}

export interface ProgressBoard {
  /** @param label names the target in the log, where there are several */
  follow(label: string | undefined): FollowedSolve;
}

/** How BuildKit's names begin for what it does with a layer cache. */
const importingCache = /^importing cache manifest from /;
export const exportingCache: RegExp = /^exporting cache to /;

/** The end of a step is worth a line when it took longer than this, in milliseconds. */
const noticeable = 1000;

/** Shows the progress of all solves of one build, so that steps they share are shown once. */
export function createProgressBoard(options: ProgressBoardOptions): ProgressBoard {
  const board = new Board(options);
  return {
    follow: (label) =>
      options.style === "plain" ? followPlainText(options.log, label) : board.follow(label),
  };
}

class Board {
  readonly #log: Log;
  readonly #dockerfile: ShownDockerfile | undefined;
  readonly #steps = new Map<string, BuildStep>();
  readonly #warnings = new Set<string>();

  constructor({ log, dockerfile }: ProgressBoardOptions) {
    this.#log = log;
    this.#dockerfile = dockerfile;
  }

  follow(label: string | undefined): FollowedSolve {
    const begun = performance.now();
    const lines = new LineSplitter();
    /** The steps that this solve was the first to bring to an end. */
    const ended = new Set<BuildStep>();
    const warnings: string[] = [];
    const said: string[] = [];
    const running = new Map<string, StepName>();
    let failed: BuildStep | undefined;
    let unwrittenCache: string | undefined;
    const take = (line: string): void => {
      const event = parseEvent(line);
      if (event === undefined) {
        if (!isClientLog(line)) said.push(line);
        return;
      }
      for (const vertex of event.vertexes) {
        const step = this.#vertex(vertex, ended, label);
        if (isFailure(vertex)) failed ??= step;
        if (isCacheTrouble(vertex) && exportingCache.test(vertex.name)) unwrittenCache = vertex.error;
        if (isSet(vertex.started) && !isSet(vertex.completed)) running.set(vertex.digest, step.name);
        else running.delete(vertex.digest);
      }
      this.#logs(event);
      for (const warning of event.warnings) warnings.push(...this.#warning(warning));
    };
    return {
      write: (chunk) => {
        for (const line of lines.write(chunk)) take(line);
      },
      running: () => [...running.values()],
      end: () => {
        for (const line of lines.end()) take(line);
        const failure = failureMessage(failed, said, this.#dockerfile);
        const seconds = (performance.now() - begun) / 1000;
        return {
          steps: countSteps([...ended].filter((step) => !this.#isCountedAlready(step))),
          warnings,
          seconds,
          ...(failure === undefined ? {} : { failure }),
          ...(unwrittenCache === undefined ? {} : { unwrittenCache }),
        };
      },
    };
  }

  #vertex(vertex: Vertex, ended: Set<BuildStep>, label: string | undefined): BuildStep {
    const step = this.#steps.get(vertex.digest) ?? new BuildStep(vertex.name);
    this.#steps.set(vertex.digest, step);
    if (isSet(vertex.started) && !vertex.cached && !step.announced && step.name.isInstruction) {
      step.announced = true;
      this.#log.line(`${this.#place(step, "title")} ${step.name.text}`);
    }
    if (vertex.error !== "") step.error = vertex.error;
    if (vertex.cached && !step.cached) {
      step.cached = true;
      // While a layer is fetched from a cache, BuildKit shows the step as one that runs.
      if (step.announced) this.#log.line(`${this.#place(step, "quiet")} was cached`);
    }
    if (!isSet(vertex.completed) || step.done) return step;
    step.done = true;
    for (const line of step.output.end()) this.#output(step, line);
    if (isCacheTrouble(vertex)) this.#cacheWarning(vertex);
    if (vertex.error !== "") return step;
    ended.add(step);
    this.#finished(step, vertex, label);
    return step;
  }

  /**
   * Steps that follow a COPY from the context have another digest in each solve, as the context is sent anew: what one
   * of them has run is "cached" for the others, though it is one step that was run. It counts once.
   */
  #isCountedAlready(step: BuildStep): boolean {
    if (!step.cached) return false;
    const alike = [...this.#steps.values()].filter(
      ({ name, done }) => done && name.place === step.name.place && name.text === step.name.text,
    );
    return alike[0] !== step || alike.some(({ cached }) => !cached);
  }

  /** Builds go on without a cache, but whoever waits for them should know why they take longer. */
  #cacheWarning({ name, error }: Vertex): void {
    const text = withoutQueries(maskCredentials(`layer cache not used (${name}): ${error}`));
    if (this.#warnings.has(text)) return;
    this.#warnings.add(text);
    this.#log.warn(text);
  }

  #finished({ name }: BuildStep, vertex: Vertex, label: string | undefined): void {
    const { started, completed, cached } = vertex;
    if (!isSet(started) || !isSet(completed) || cached) return;
    const took = Date.parse(completed) - Date.parse(started);
    if (took < noticeable) return;
    const what = name.isInstruction ? `[${name.place}] done` : [label, name.text].filter(Boolean).join(": ");
    this.#log.line(styled(this.#log, "quiet", `${what}, ${formatSeconds(took / 1000)}`));
  }

  #logs(event: ProgressEvent): void {
    for (const { vertex, data } of event.logs) {
      const step = this.#steps.get(vertex);
      if (step === undefined) continue;
      for (const line of step.output.write(data)) this.#output(step, line);
    }
  }

  #output(step: BuildStep, line: string): void {
    const state = maskCredentials(line);
    // A program's output is shown as it is.
    const text = step.name.isInstruction ? state : withoutQueries(state);
    step.keep(text);
    this.#log.line(`${this.#place(step, "quiet")} ${text}`);
  }

  #place({ name }: BuildStep, style: "title" | "quiet"): string {
    // BuildKit's own doings have brackets of their own: `[internal] load git source …`.
    const text = name.isInstruction ? `[${name.place}]` : name.text;
    return styled(this.#log, style, text.startsWith("[") ? text : `[${text}]`);
  }

  /** The warning as text, unless another solve has had it. */
  #warning({ short, url, range }: Warning): string[] {
    const file = this.#dockerfile?.name ?? "Dockerfile";
    const finding = short.replace(/ \(line \d+\)$/, "");
    const text = maskCredentials(`${range ? `${file}:${range}` : file}: ${finding}${url && ` (${url})`}`);
    if (this.#warnings.has(text)) return [];
    this.#warnings.add(text);
    this.#log.warn(text);
    return [text];
  }
}

function countSteps(ended: readonly BuildStep[]): { run: number; cached: number } {
  const instructions = ended.filter(({ name }) => name.isInstruction);
  const cached = instructions.filter((step) => step.cached).length;
  return { run: instructions.length - cached, cached };
}

function isFailure(vertex: Vertex): boolean {
  return vertex.error !== "" && !isAboutCache(vertex) && !isCanceled(vertex);
}

function isCacheTrouble(vertex: Vertex): boolean {
  const { error } = vertex;
  return error !== "" && isAboutCache(vertex) && !error.endsWith(": not found") && !isCanceled(vertex);
}

/** It ended because another step failed, or the build was aborted. */
function isCanceled({ error }: Vertex): boolean {
  return /context canceled|code = Canceled/.test(error);
}

function isAboutCache({ name }: Vertex): boolean {
  return importingCache.test(name) || exportingCache.test(name);
}

function isSet(time: string | null | undefined): time is string {
  return time !== undefined && time !== null && time !== "";
}
