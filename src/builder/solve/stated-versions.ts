import * as z from "zod";
import { settlesBefore } from "../../host/settles-before.ts";

/** The line that our buildctl writes among its progress (tools/edit/buildctl.go). A buildctl from elsewhere doesn't. */
const Stated = z.object({ buildctl: z.string(), buildkitd: z.string() });

/** Characters of progress in which the line is looked for. It comes with the daemon's first answer. */
const searched = 64 * 1024;

/** Milliseconds. After this time the daemon had better be asked by a process of its own, which says what is wrong. */
const patience = 1_000;

/** The versions that a run of buildctl states of itself and its daemon, read from its stderr. */
export class StatedVersions {
  readonly #settled = Promise.withResolvers<void>();
  #text = "";
  #stated: z.infer<typeof Stated> | undefined;

  write(bytes: Buffer): void {
    if (this.#stated !== undefined || this.#text.length > searched) return;
    this.#text += bytes.toString();
    const line = /^\{"buildctl":.*\}$/m.exec(this.#text)?.[0];
    if (line !== undefined) this.#stated = Stated.parse(JSON.parse(line));
    if (line !== undefined || this.#text.length > searched) this.#settled.resolve();
  }

  /** To be called after the last bytes. */
  end(): void {
    this.#settled.resolve();
  }

  /** What the daemon says of its version. Undefined if buildctl doesn't say it, or not soon. */
  async ofDaemon(signal: AbortSignal): Promise<string | undefined> {
    await settlesBefore(this.#settled.promise, AbortSignal.any([signal, AbortSignal.timeout(patience)]));
    return this.#stated?.buildkitd;
  }

  /** What buildctl has said of its own version so far. */
  ofBuildctl(): string | undefined {
    return this.#stated?.buildctl;
  }
}
