import type { Log } from "../../host/log.ts";
import { maskCredentials, withoutQueries } from "../../host/mask-credentials.ts";
import type { BuildDescription } from "./build-description.ts";
import { cacheAdvice } from "./cache-advice.ts";
import { type ProgressEvent, parseEvent, type Vertex, type Warning } from "./events.ts";
import { solveFailure } from "./failure.ts";
import type { FollowedSolve, RanStep } from "./followed-solve.ts";
import { LineSplitter } from "./lines.ts";
import { createPlainPrinter } from "./plain-printer.ts";
import type { StepPrinter } from "./printer.ts";
import {
  BuildStep,
  exportingCache,
  importingCache,
  isTime,
  parseVertexName,
  platformIn,
  type StepName,
} from "./step.ts";
import { lookedUpImages, type NamedImage, namedImages, type StepTimes, stepTimes } from "./step-times.ts";
import { createStepsPrinter } from "./steps-printer.ts";
import { timingLines } from "./summary.ts";
import { isClientLog } from "./text.ts";
import { formatFinding } from "./warning-text.ts";

export interface ProgressBoardOptions {
  readonly log: Log;
  /** `steps` shows instructions and their output. `plain` shows everything, like buildctl's plain progress. */
  readonly style: "steps" | "plain";
  /** For messages. */
  readonly build: BuildDescription;
}

/** One of the solves of a build. */
export interface SolveToFollow {
  /** Names the target in the log, if there are several. */
  readonly label?: string | undefined;
  /** The platform of all its steps, if other solves build for other platforms. */
  readonly platform?: string | undefined;
  /** The daemon that runs the solve. The same step on another daemon counts as another step. */
  readonly daemon: string;
}

export interface ProgressBoard {
  follow(solve: SolveToFollow): FollowedSolve;
  /** What took the time, one line each. To be called after the last solve. */
  timings(): readonly string[];
  /** The steps that ended, by the time when they began. */
  steps(): readonly StepTimes[];
  /** The images that steps used, by digest. */
  images(): readonly NamedImage[];
  /** The names of the images that were looked up, before a source policy converted them. */
  lookedUp(): readonly string[];
}

/** Shows the progress of all solves of one build. Steps that they share are shown once. */
export function createProgressBoard(options: ProgressBoardOptions): ProgressBoard {
  const board = new Board(options);
  return {
    follow: (solve) => board.follow(solve),
    timings: () => timingLines(board.steps()),
    steps: () => stepTimes(board.steps()),
    images: () => namedImages(board.steps()),
    lookedUp: () => lookedUpImages(board.steps()),
  };
}

/** The state of one solve while it is followed. */
interface Following {
  readonly solve: SolveToFollow;
  /** By the vertex's digest. */
  readonly steps: Map<string, BuildStep>;
  /** Bytes of each step's output that this solve has reported. */
  readonly told: Map<BuildStep, number>;
  /** The steps that succeeded and whose end this solve was the first to report. */
  readonly ended: Set<BuildStep>;
}

class Board {
  readonly #log: Log;
  readonly #printer: StepPrinter;
  readonly #build: BuildDescription;
  /** By daemon and the vertex's digest. */
  readonly #steps = new Map<string, BuildStep>();
  readonly #followed: Following[] = [];
  readonly #warnings = new Set<string>();

  constructor({ log, style, build }: ProgressBoardOptions) {
    this.#log = log;
    this.#printer = style === "plain" ? createPlainPrinter(log) : createStepsPrinter(log);
    this.#build = build;
  }

  steps(): readonly BuildStep[] {
    return [...this.#steps.values()];
  }

  follow(solve: SolveToFollow): FollowedSolve {
    const begun = performance.now();
    const lines = new LineSplitter();
    this.#forgetUnfinished(solve);
    const following: Following = { solve, steps: new Map(), told: new Map(), ended: new Set() };
    this.#followed.push(following);
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
      for (const vertex of withoutUnreached(event.vertexes)) {
        const step = this.#vertex(vertex, following);
        if (isFailure(vertex)) failed ??= step;
        if (isCacheTrouble(vertex) && exportingCache.test(vertex.name)) unwrittenCache = vertex.error;
        if (isTime(vertex.started) && !isTime(vertex.completed)) running.set(vertex.digest, step.name);
        else running.delete(vertex.digest);
      }
      this.#parts(event, following);
      this.#logs(event, following);
      for (const warning of event.warnings) warnings.push(...this.#warning(warning));
    };
    return {
      write: (chunk) => {
        for (const line of lines.write(chunk)) take(line);
      },
      running: () => [...running.values()],
      ran: () => ranSteps(following),
      end: () => {
        for (const line of lines.end()) take(line);
        const failure = solveFailure(failed, said, this.#build);
        const seconds = (performance.now() - begun) / 1000;
        const [pushing] = [...following.steps.values()].flatMap((step) => step.periodOf(/^pushing /) ?? []);
        return {
          steps: countSteps([...following.ended].filter((step) => !this.#isCountedAlready(step))),
          warnings,
          seconds,
          ...(failure === undefined ? {} : { failure }),
          ...(unwrittenCache === undefined ? {} : { unwrittenCache }),
          ...(pushing === undefined ? {} : { pushing }),
        };
      },
    };
  }

  #vertex(vertex: Vertex, { solve, steps, ended }: Following): BuildStep {
    const key = `${solve.daemon} ${vertex.digest}`;
    const step = this.#steps.get(key) ?? newStep(vertex, solve.platform, steps);
    this.#steps.set(key, step);
    steps.set(vertex.digest, step);
    step.note(vertex);
    // This is never reset: if the step's layer is fetched later, BuildKit reports the step as a running one.
    if (vertex.cached) step.cached = true;
    if (isTime(vertex.started) && !step.cached && !step.announced && !step.done) {
      step.announced = true;
      this.#printer.began(step);
    }
    if (vertex.error !== "") step.error = vertex.error;
    if (!isTime(vertex.completed) || step.done) return step;
    step.done = true;
    for (const line of step.output.end()) this.#output(step, line);
    if (isCacheTrouble(vertex)) this.#cacheWarning(vertex);
    if (vertex.error === "") ended.add(step);
    if (vertex.error === "" || !isCanceled(vertex)) this.#printer.ended(step, solve.label);
    return step;
  }

  /** If a solve is run again, the steps that its earlier run didn't finish start anew, with new output. */
  #forgetUnfinished({ label, platform }: SolveToFollow): void {
    const earlier = this.#followed.filter(
      ({ solve }) => solve.label === label && solve.platform === platform,
    );
    for (const { solve, steps } of earlier) {
      for (const [digest, step] of steps) {
        if (!step.done || step.error !== "") this.#steps.delete(`${solve.daemon} ${digest}`);
      }
    }
  }

  /**
   * The context is sent anew for each solve, so the steps after a COPY from it have another digest in each. A step
   * that one solve has run is reported as cached by the others. It must count once only.
   */
  #isCountedAlready(step: BuildStep): boolean {
    if (!step.cached) return false;
    const alike = [...this.#steps.values()].filter(
      ({ name, done }) => done && name.place === step.name.place && name.text === step.name.text,
    );
    return alike[0] !== step || alike.some(({ cached }) => !cached);
  }

  /** Builds continue without a cache, but the warning explains why they take longer. */
  #cacheWarning({ name, error }: Vertex): void {
    const advice = cacheAdvice(name, error, this.#build);
    const why = advice === undefined ? error : `${error}; ${advice}`;
    const text = withoutQueries(maskCredentials(`layer cache not used (${name}): ${why}`));
    if (this.#warnings.has(text)) return;
    this.#warnings.add(text);
    this.#log.warn(text);
  }

  #parts(event: ProgressEvent, { steps }: Following): void {
    for (const part of event.statuses) {
      const step = steps.get(part.vertex);
      if (step?.notePart(part) === true) this.#printer.did(step, part);
    }
  }

  /** BuildKit sends each solve all output of a shared step, from its beginning. */
  #logs(event: ProgressEvent, { steps, told }: Following): void {
    for (const { vertex, data } of event.logs) {
      const step = steps.get(vertex);
      if (step === undefined) continue;
      const until = (told.get(step) ?? 0) + data.length;
      told.set(step, until);
      if (until <= step.taken) continue;
      const fresh = data.subarray(Math.max(0, data.length - (until - step.taken)));
      step.taken = until;
      for (const line of step.output.write(fresh)) this.#output(step, line);
    }
  }

  #output(step: BuildStep, line: string): void {
    const masked = maskCredentials(line);
    // In a program's output URLs keep their queries.
    const text = step.name.isInstruction ? masked : withoutQueries(masked);
    step.keep(text);
    this.#printer.wrote(step, text);
  }

  /** Logs a warning and returns its text, unless it was logged before. */
  #warning({ short, url, range }: Warning): string[] {
    const file = this.#build.dockerfile?.name ?? "Dockerfile";
    const text = formatFinding({ file, line: range, text: short.replace(/ \(line \d+\)$/, ""), url });
    if (this.#warnings.has(text)) return [];
    this.#warnings.add(text);
    this.#log.warn(text);
    return [text];
  }
}

/**
 * BuildKit doesn't name the platform of steps in a stage FROM scratch. It is that of the steps whose results they use,
 * if these are all for one platform.
 */
function newStep(
  { name, inputs }: Vertex,
  platform: string | undefined,
  steps: Following["steps"],
): BuildStep {
  const used = new Set((inputs ?? []).flatMap((digest) => steps.get(digest)?.platform ?? []));
  const [only] = used.size === 1 ? used : [];
  const plain = parseVertexName(name, platform);
  const isNamed = !plain.isInstruction || platformIn(plain) !== undefined;
  return new BuildStep(isNamed ? plain : parseVertexName(name, only), name, only);
}

function ranSteps({ steps, ended }: Following): RanStep[] {
  return [...steps].flatMap(([digest, step]) =>
    ended.has(step) && step.name.isInstruction && !step.cached
      ? [{ digest, name: step.name, seconds: step.took() / 1000 }]
      : [],
  );
}

/** FROM is not counted: it runs nothing, and pulls are reported separately. */
function countSteps(ended: readonly BuildStep[]): { run: number; cached: number } {
  const instructions = ended.filter(({ name }) => name.isInstruction && !name.text.startsWith("FROM "));
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

/**
 * Without steps that BuildKit only takes for cached: it says so of each that hasn't ended when a step after it begins. But
 * a COPY whose file isn't there begins, and fails, before it is known whether the steps before it are cached.
 */
function withoutUnreached(vertexes: readonly Vertex[]): readonly Vertex[] {
  const failures = vertexes.filter(({ error }) => error.startsWith("failed to calculate checksum of ref "));
  if (failures.length === 0) return vertexes;
  const begun = new Set(failures.map(({ started }) => started));
  return vertexes.filter(
    ({ cached, started, completed }) => !(cached && started === completed && begun.has(started)),
  );
}

/** Whether the step ended because another step failed or the build was aborted. */
function isCanceled({ error }: Vertex): boolean {
  return /context canceled|code = Canceled/.test(error);
}

function isAboutCache({ name }: Vertex): boolean {
  return importingCache.test(name) || exportingCache.test(name);
}
