import { StringDecoder } from "node:string_decoder";

/** Cuts a stream of bytes into lines; characters and lines may be spread over chunks. */
export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";

  /** The lines that are whole with these bytes, without their line ends. */
  write(bytes: Buffer): string[] {
    const lines = (this.#rest + this.#decoder.write(bytes)).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines;
  }

  /** What is left after the last line end, if anything. */
  end(): string[] {
    const rest = this.#rest + this.#decoder.end();
    this.#rest = "";
    return rest === "" ? [] : [rest];
  }
}

/** What a terminal would show of a line that a program overwrote with carriage returns: its last state. */
export function lastState(line: string): string {
  return line.split("\r").findLast((state) => state !== "") ?? "";
}

/** Hides the credentials of URLs: `https://user:password@host` and `https://token@host`. */
export function maskCredentials(text: string): string {
  return text
    .replaceAll(/\b(https?:\/\/)[^\s/@"']+@/gi, "$1***@")
    .replaceAll(/\b([a-z+]+:\/\/[^\s/@:"']+):[^\s/@"']+@/gi, "$1:***@");
}

/** URLs without their queries: those of registries' uploads and redirects carry states and signatures. */
export function withoutQueries(text: string): string {
  return text.replaceAll(/\b(https?:\/\/[^\s?"']+)\?[^\s"']*?(?=:?(?:[\s"']|$))/g, "$1");
}

/** `0.4 s`, `12 s`, `3 min 5 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** buildctl logs what it notices on its own side (logrus, and Go's http2); none of it is why a build fails. */
export function isClientLog(line: string): boolean {
  return /^time="[^"]*" level=(debug|info|warning|error) |^\d{4}\/\d\d\/\d\d [\d:]{8} http2: /.test(line);
}
