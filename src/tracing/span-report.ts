import { maskCredentials } from "../host/mask-credentials.ts";
import type { Verdict } from "./receiver-answer.ts";

/** What became of the spans, in a few words and without secrets. */
export interface SpanReport {
  /** Why spans were lost. Undefined if none were. */
  readonly lost: string | undefined;
  /** What the receiver says although it has taken them. */
  readonly remark: string | undefined;
}

/** Characters of a receiver's message that are shown. */
const messageLength = 300;

/** Gathers what a receiver says about the spans of a step. */
export class SpanFindings {
  readonly #secrets: readonly string[];
  /** Why the first request failed that did. */
  #failure: string | undefined;
  /** The number of spans that the receiver didn't take. */
  #rejected = 0;
  /** The receiver's first words. */
  #message: string | undefined;

  /** @param headers those of each request, which are secret */
  constructor(headers: Readonly<Record<string, string>>) {
    // A receiver may repeat a token without the scheme before it.
    this.#secrets = Object.values(headers).flatMap((value) => [value, value.replace(/^\S+ +/, "")]);
  }

  /** Notes an answer, whether its request is repeated or not. */
  heard({ rejected = 0, message }: Pick<Verdict, "rejected" | "message">): void {
    this.#rejected += rejected;
    this.#message ??= message;
  }

  /** Notes that the spans of a request are lost. */
  lost(fault: string): void {
    this.#failure ??= fault;
  }

  report(): SpanReport {
    const said = this.#shown(this.#message ?? "");
    const lost = [
      ...(this.#failure === undefined ? [] : [this.#shown(this.#failure)]),
      ...(this.#rejected === 0 ? [] : [`it rejected ${spanCount(this.#rejected)}${said && `: ${said}`}`]),
    ];
    return {
      lost: lost.length === 0 ? undefined : lost.join("; "),
      remark: this.#rejected === 0 && said !== "" ? said : undefined,
    };
  }

  #shown(text: string): string {
    return maskCredentials(text, this.#secrets)
      .replaceAll(/[\p{C}\s]+/gu, " ")
      .trim()
      .slice(0, messageLength);
  }
}

function spanCount(spans: number): string {
  return `${spans} ${spans === 1 ? "span" : "spans"}`;
}
