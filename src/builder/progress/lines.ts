import { StringDecoder } from "node:string_decoder";

/** Splits a stream of bytes into lines. Characters and lines may be spread over chunks. Takes linear time. */
export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  #rest: string[] = [];

  /** Returns the lines that these bytes complete, without line ends. */
  write(bytes: Buffer): string[] {
    const [first = "", ...others] = this.#decoder.write(bytes).split("\n");
    const last = others.pop();
    this.#rest.push(first);
    if (last === undefined) return [];
    const lines = [this.#rest.join(""), ...others];
    this.#rest = [last];
    return lines;
  }

  /** Returns what is left after the last line end, if anything. */
  end(): string[] {
    const rest = this.#rest.join("") + this.#decoder.end();
    this.#rest = [];
    return rest === "" ? [] : [rest];
  }
}

/**
 * Characters of an output line that are shown. Compilers' command lines are shorter, and browsers struggle with
 * longer lines.
 */
const shownLength = 16 * 1024;

/**
 * Splits a program's output into lines as a terminal would show them. Of a line that was overwritten with carriage
 * returns it keeps the last state, of a very long line the beginning. So memory is bounded, however long a line is.
 */
export class OutputLines {
  readonly #decoder = new StringDecoder("utf8");
  /** The state before the last carriage return. It is shown if nothing follows that. */
  #overwritten = "";
  #state = "";
  /** Characters of the state, including those that aren't kept. */
  #length = 0;

  /** Returns the lines that these bytes complete, without line ends. */
  write(bytes: Buffer): string[] {
    return this.#take(this.#decoder.write(bytes));
  }

  /** Returns what is left after the last line end, if anything. */
  end(): string[] {
    const lines = this.#take(this.#decoder.end());
    return this.#shown() === "" ? lines : [...lines, this.#endLine()];
  }

  #take(text: string): string[] {
    const lines: string[] = [];
    for (const [index, line] of text.split("\n").entries()) {
      if (index > 0) lines.push(this.#endLine());
      this.#append(line);
    }
    return lines;
  }

  #append(line: string): void {
    let begin = 0;
    for (let at = line.indexOf("\r"); at !== -1; at = line.indexOf("\r", begin)) {
      this.#grow(line.slice(begin, at));
      this.#overwritten = this.#shown();
      this.#state = "";
      this.#length = 0;
      begin = at + 1;
    }
    this.#grow(line.slice(begin));
  }

  #grow(text: string): void {
    this.#length += text.length;
    const room = shownLength - this.#state.length;
    if (room > 0) this.#state += text.slice(0, room);
  }

  #shown(): string {
    if (this.#length === 0) return this.#overwritten;
    return this.#length > shownLength ? `${this.#state}… (${this.#length} characters)` : this.#state;
  }

  #endLine(): string {
    const line = this.#shown();
    this.#overwritten = "";
    this.#state = "";
    this.#length = 0;
    return line;
  }
}
