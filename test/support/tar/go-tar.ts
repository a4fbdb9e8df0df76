import { createHash } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { startChild } from "../../../src/host/child.ts";
import type { TarEntry, TarKind } from "../../../src/image/tar/entry.ts";
import { TarReader } from "../../../src/image/tar/reader.ts";
import { buildGoProgram } from "../runs/go-program.ts";
import { toolEnvironment } from "../runs/test-step.ts";

/** A member as both readers tell it. Bytes are one character each; what has no content has size 0. */
export interface Member extends Omit<TarEntry, "flag" | "runs" | "offset" | "atime" | "xattrs"> {
  readonly atime: TarEntry["atime"] | null;
  readonly xattrs: Readonly<Record<string, string>>;
  /** SHA-256 of the first {@link compared} bytes of a file, hex. */
  readonly content: string;
}

/** What an archive holds, up to its end or its first error. */
export interface Listing {
  readonly members: readonly Member[];
  readonly error: string | undefined;
}

export interface GoReader extends AsyncDisposable {
  read(archive: Uint8Array): Promise<Listing>;
}

/** As in go-tar/main.go. */
const compared = 256 * 1024;

/** Starts a program that reads archives by Go's archive/tar. It is built once, and kept beside the tools. */
export async function startGoReader(): Promise<GoReader> {
  const source = join(import.meta.dirname, "go-tar/main.go");
  const program = await buildGoProgram({ name: "go-tar", source });
  const step = { env: toolEnvironment(), signal: AbortSignal.any([]) };
  const child = startChild(step, program, [], { stdin: "pipe", buffer: false, reject: false });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async read(archive) {
      if (!child.stdin.write(`${Buffer.from(archive).toString("base64")}\n`)) {
        await once(child.stdin, "drain");
      }
      const { value, done } = await lines.next();
      if (done === true) throw new Error("the Go program has ended");
      return listingOf(value);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await child;
    },
  };
}

/** A member as the Go program tells it: names and values in base64, null for what is empty. */
interface GoMember extends Omit<Member, "kind" | "path" | "link" | "xattrs"> {
  readonly flag: number;
  readonly path: string | null;
  readonly link: string | null;
  readonly xattrs: Readonly<Record<string, string>> | null;
}

function listingOf(line: string): Listing {
  const { members, error }: { members: readonly GoMember[]; error: string } = JSON.parse(line);
  return { members: members.map(memberOf), error: error === "" ? undefined : error };
}

function memberOf({ flag, path, link, size, xattrs, content, ...rest }: GoMember): Member {
  const kind = kindOf(String.fromCharCode(flag));
  const isFile = kind === "file" || kind === "unknown";
  const named = Object.entries(xattrs ?? {});
  return {
    ...rest,
    kind,
    path: bytesOf(path),
    link: bytesOf(link),
    size: isFile ? size : 0,
    xattrs: Object.fromEntries(named.map(([name, value]) => [bytesOf(name), bytesOf(value)])),
    content,
  };
}

function bytesOf(base64: string | null): string {
  return Buffer.from(base64 ?? "", "base64").toString("latin1");
}

/** By Go's names: `TypeReg`, `TypeLink` … */
function kindOf(flag: string): TarKind {
  const kinds = new Map<string, TarKind>([
    ["0", "file"],
    ["1", "hardlink"],
    ["2", "symlink"],
    ["3", "char"],
    ["4", "block"],
    ["5", "folder"],
    ["6", "fifo"],
    ["7", "file"],
    ["S", "file"],
  ]);
  return kinds.get(flag) ?? "unknown";
}

/**
 * Reads an archive by our reader, cut into chunks as `cuts` says (ascending positions). What isn't a TarError is
 * thrown: the reader must not throw anything else.
 */
export function readByOurs(archive: Buffer, cuts: Iterable<number> = []): Listing {
  const members: Member[] = [];
  let entry: TarEntry | undefined;
  let start = Buffer.alloc(0);
  const reader = new TarReader({
    entry: (next) => {
      entry = next;
      start = Buffer.alloc(Math.min(next.size, compared));
    },
    content: (bytes, position) => {
      if (position < compared) bytes.copy(start, position);
    },
    close: () => {
      if (entry !== undefined) members.push(describe(entry, start));
      entry = undefined;
    },
  });
  let error: string | undefined;
  try {
    let at = 0;
    for (const cut of [...cuts, archive.length]) {
      reader.write(archive.subarray(at, cut));
      at = cut;
    }
    reader.end();
  } catch (thrown) {
    if (!(thrown instanceof Error) || thrown.name !== "TarError") throw thrown;
    error = thrown.message;
  }
  return { members, error };
}

function describe(entry: TarEntry, start: Buffer): Member {
  const { flag: _flag, runs: _runs, offset: _offset, xattrs, atime, ...rest } = entry;
  const values = [...(xattrs ?? [])].filter(([, value]) => value.length > 0);
  return {
    ...rest,
    atime: atime ?? null,
    xattrs: Object.fromEntries(values.map(([name, value]) => [name, value.toString("latin1")])),
    content: createHash("sha256").update(start).digest("hex"),
  };
}
