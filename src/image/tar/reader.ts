import type { DataRun, TarEntry } from "./entry.ts";
import { TarError } from "./error.ts";
import { blockSize, parseHeader, type RawHeader, sumOf } from "./header.ts";
import { hasContent, isHeaderOnly, joinMember, type Member, withSparseRecords } from "./member.ts";
import { FieldError, numberField } from "./numbers.ts";
import { noRecords, type PaxRecords, parsePax } from "./pax.ts";
import { checkRuns, MapBlocks, maxSpecialSize, parseMap, readRuns, sparseFormat } from "./sparse.ts";

/** Receives what a `TarReader` reads. An error thrown here passes through `write` and ends the reading. */
export interface TarHandler {
  /** A member begins. */
  entry(entry: TarEntry): void;
  /**
   * A piece of the member's content, in order, never empty. `position` is its offset in the file. The bytes are a
   * view of what `write` was given, so they are only valid until this returns.
   */
  content(bytes: Buffer, position: number): void;
  /** The member is complete. Follows each `entry`. */
  close(): void;
}

/** The meaning of the bytes that come next. */
type ArchivePart =
  | "header"
  | "extended header" // the body of a member of type x, g, L or K
  | "old sparse map" // extension blocks of GNU's old sparse format
  | "sparse map" // the map of format 1.0: the first blocks of the content
  | "content"
  | "padding"
  | "nothing"; // after the end of the archive

/**
 * Reads a tar archive like Go's archive/tar (v7, ustar, star, GNU, PAX, all of GNU's sparse formats),
 * synchronously: bytes are given to `write`, and members are passed to the handler before it returns. Only the
 * state of one member is kept, at most a few MiB; content is never copied.
 *
 * As in Go: links, folders, devices and FIFOs have no content, whatever their size says. Global PAX headers change
 * nothing. Two blocks of zeros end the archive, and what follows is ignored. An archive that simply stops after a
 * member is complete.
 *
 * Unlike in Go: a PAX name and a GNU name that contradict each other are an error, and so are numbers over 2^53. Of
 * extended attributes, `SCHILY.xattr.` is read (GNU tar, star, Go). bsdtar's `LIBARCHIVE.xattr.` is ignored,
 * because bsdtar writes the same attributes in the other form too.
 */
export class TarReader {
  readonly #handler: TarHandler;
  #failure: { readonly error: unknown } | undefined;

  #part: ArchivePart = "header";
  /** Bytes of the current part that are still to come. */
  #left = blockSize;
  /** Bytes read so far. */
  #offset = 0;
  /** A block or extended header that arrives in several chunks. */
  #collected: Buffer | undefined;
  #zeroBlocks = 0;
  /** Bytes from the end of the current body to the next block. */
  #padding = 0;

  /** Where the current member begins, extended headers included, and its name as far as it is known. */
  #start: number | undefined;
  #path: string | undefined;
  /** Type of the current extended header. */
  #extension = "";
  #pax: PaxRecords = noRecords;
  #longPath = "";
  #longLink = "";

  #member: Member | undefined;
  /** Bytes of content stored in the archive; for a sparse file without the map. */
  #stored = 0;
  /** Offset of the next content in the file. */
  #position = 0;
  #runs: DataRun[] | undefined;
  #run = 0;
  #map = new MapBlocks();
  #mapBlocks = 0;

  constructor(handler: TarHandler) {
    this.#handler = handler;
  }

  /**
   * Reads the next bytes of the archive, in chunks of any size.
   * @throws TarError if they are not valid tar, and whatever the handler throws. Each later call throws the same
   * error again.
   */
  write(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#guard(() => {
      let at = 0;
      while (at < bytes.length && this.#part !== "nothing") {
        const taken = Math.min(this.#left, bytes.length - at);
        const piece = bytes.subarray(at, at + taken);
        at += taken;
        this.#left -= taken;
        this.#offset += taken;
        this.#take(piece);
      }
    });
  }

  /**
   * Skips the rest of the member's content and its padding, for callers that can seek. `content` isn't called for
   * it.
   * @returns the number of bytes of the archive to leave out before the next `write`
   */
  skipContent(): number {
    if (this.#part !== "content") return 0;
    const skipped = this.#left + this.#padding;
    this.#offset += skipped;
    this.#padding = 0;
    this.#guard(() => this.#close());
    return skipped;
  }

  /** Whether the archive's end marker has been read. Everything after it is ignored. */
  get isAtEnd(): boolean {
    return this.#part === "nothing";
  }

  /**
   * The archive ends here.
   * @throws TarError if that is in the middle of a member
   */
  end(): void {
    this.#guard(() => {
      const isWhole = this.#part === "header" ? this.#left === blockSize : isPause(this.#part);
      if (!isWhole) throw new FieldError(`the archive is incomplete: it ends in its ${this.#part}`);
    });
  }

  #guard(read: () => void): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      read();
    } catch (thrown) {
      const at = { offset: this.#start ?? this.#offset, member: this.#path };
      const error = thrown instanceof FieldError ? new TarError(thrown.message, at) : thrown;
      this.#failure = { error };
      throw error;
    }
  }

  #take(piece: Buffer): void {
    switch (this.#part) {
      case "content":
        this.#content(piece);
        if (this.#left === 0) this.#close();
        return;
      case "padding":
        if (this.#left === 0) this.#expect("header", blockSize);
        return;
      case "nothing":
        return;
      case "header":
      case "extended header":
      case "old sparse map":
      case "sparse map": {
        const whole = this.#collect(piece);
        if (whole !== undefined) this.#whole(this.#part, whole);
      }
    }
  }

  /** Returns the current part in one buffer once it is complete. It is copied only if it came in several chunks. */
  #collect(piece: Buffer): Buffer | undefined {
    if (this.#collected === undefined) {
      if (this.#left === 0) return piece;
      this.#collected = Buffer.allocUnsafe(piece.length + this.#left);
    }
    const whole = this.#collected;
    piece.copy(whole, whole.length - this.#left - piece.length);
    if (this.#left > 0) return undefined;
    this.#collected = undefined;
    return whole;
  }

  #whole(part: "header" | "extended header" | "old sparse map" | "sparse map", bytes: Buffer): void {
    switch (part) {
      case "header":
        this.#headerBlock(bytes);
        break;
      case "extended header":
        this.#extendedHeader(bytes);
        break;
      case "old sparse map":
        this.#oldSparseMap(bytes);
        break;
      case "sparse map":
        this.#sparseMap(bytes);
    }
  }

  #headerBlock(block: Buffer): void {
    this.#start ??= this.#offset - blockSize;
    const sum = sumOf(block);
    if (sum === 0) {
      this.#zeroBlocks++;
      if (this.#zeroBlocks === 2) this.#expect("nothing", 0);
      else this.#expect("header", blockSize);
      return;
    }
    if (this.#zeroBlocks > 0) throw new FieldError("a block of zeros is followed by one that isn't");
    const header = parseHeader(block, sum);
    if (header.size < 0 && !isHeaderOnly(header.flag)) throw new FieldError("negative size");
    if ("xgLK".includes(header.flag)) {
      this.#extensionHeader(header);
      return;
    }
    this.#path = header.path;
    this.#joinHeader(header);
    this.#startMember(header, block);
  }

  #extensionHeader({ flag, size }: RawHeader): void {
    if (size > maxSpecialSize) throw new FieldError(`an extended header of ${size} bytes, over 1 MiB`);
    this.#extension = flag;
    this.#padding = paddingOf(size);
    this.#expect("extended header", size);
    if (size === 0) this.#extendedHeader(Buffer.alloc(0));
  }

  #extendedHeader(body: Buffer): void {
    switch (this.#extension) {
      case "x":
        this.#pax = parsePax(body);
        break;
      case "L":
        this.#longPath = cString(body);
        break;
      case "K":
        this.#longLink = cString(body);
        break;
      default:
        // Go treats a global header as a member of its own, so extended headers before it apply to it alone.
        parsePax(body);
        this.#forget();
    }
    this.#pad();
  }

  #joinHeader(header: RawHeader): void {
    const member = joinMember(header, {
      pax: this.#pax,
      longPath: this.#longPath,
      longLink: this.#longLink,
    });
    this.#member = member;
    this.#path = member.path;
    this.#stored = member.size;
    this.#padding = paddingOf(member.size);
  }

  #startMember(header: RawHeader, block: Buffer): void {
    const member = this.#member as Member;
    const format = header.flag === "S" ? "old" : sparseFormat(this.#pax);
    if (format === undefined) {
      this.#open();
    } else if (format === "old") {
      if (header.format !== "gnu") throw new FieldError("a sparse file of another format than GNU's");
      this.#member = { ...member, size: numberField(block, 483, 12, "size of the sparse file") };
      this.#addOldRuns(block, 386, 4);
    } else {
      if (!hasContent(member.kind)) throw new FieldError("a sparse map without a file");
      this.#member = withSparseRecords(member, this.#pax);
      this.#path = this.#member.path;
      if (format === "1.0") {
        this.#expectMapBlock();
      } else {
        this.#runs = parseMap(this.#pax);
        this.#open();
      }
    }
  }

  #addOldRuns(block: Buffer, start: number, count: number): void {
    this.#runs ??= [];
    if (readRuns(block, start, count, this.#runs).extended) this.#expect("old sparse map", blockSize);
    else this.#open();
  }

  #oldSparseMap(block: Buffer): void {
    this.#mapBlocks++;
    if (this.#mapBlocks * blockSize >= maxSpecialSize) throw new FieldError("sparse map over 1 MiB");
    this.#addOldRuns(block, 0, 21);
  }

  #expectMapBlock(): void {
    if (this.#stored < blockSize) throw new FieldError("the content ends within the sparse map");
    this.#expect("sparse map", blockSize);
  }

  #sparseMap(block: Buffer): void {
    this.#stored -= blockSize;
    this.#runs = this.#map.add(block);
    if (this.#runs === undefined) this.#expectMapBlock();
    else this.#open();
  }

  /** Everything about the member is known: passes it on and continues with its content. */
  #open(): void {
    const member = this.#member as Member;
    if (this.#runs !== undefined) this.#runs = checkRuns(this.#runs, member.size, this.#stored);
    this.#handler.entry({ ...member, runs: this.#runs, offset: this.#start as number });
    this.#expect("content", this.#stored);
    if (this.#stored === 0) this.#close();
  }

  #content(piece: Buffer): void {
    const runs = this.#runs;
    if (runs === undefined) {
      this.#handler.content(piece, this.#position);
      this.#position += piece.length;
      return;
    }
    let at = 0;
    while (at < piece.length) {
      // `#position` is the offset in the run. The runs together are as long as the content (see checkRuns).
      const run = runs[this.#run] as DataRun;
      const length = Math.min(piece.length - at, run.length - this.#position);
      this.#handler.content(piece.subarray(at, at + length), run.offset + this.#position);
      at += length;
      this.#position += length;
      if (this.#position === run.length) {
        this.#run++;
        this.#position = 0;
      }
    }
  }

  #close(): void {
    this.#handler.close();
    this.#forget();
    this.#pad();
  }

  /** Clears what applied to this member only. */
  #forget(): void {
    this.#start = undefined;
    this.#path = undefined;
    this.#pax = noRecords;
    this.#longPath = "";
    this.#longLink = "";
    this.#member = undefined;
    this.#position = 0;
    if (this.#runs === undefined) return;
    this.#runs = undefined;
    this.#run = 0;
    this.#map = new MapBlocks();
    this.#mapBlocks = 0;
  }

  #pad(): void {
    if (this.#padding > 0) this.#expect("padding", this.#padding);
    else this.#expect("header", blockSize);
  }

  #expect(part: ArchivePart, bytes: number): void {
    this.#part = part;
    this.#left = bytes;
  }
}

/** Whether the archive may stop here. As in Go, this includes the padding after the last member. */
function isPause(part: ArchivePart): boolean {
  return part === "padding" || part === "nothing";
}

function paddingOf(size: number): number {
  return (blockSize - (size % blockSize)) % blockSize;
}

function cString(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}
