import { readFileSync } from "node:fs";
import { errorCode, UserError } from "../host/errors.ts";
import type { Log } from "../host/log.ts";
import type { TarTime } from "../image/tar/entry.ts";
import {
  changeMode,
  changeNamedMode,
  changeNamedOwner,
  changeOwner,
  type Owner,
  processOwner,
  setAttribute,
  setNamedAttribute,
  setNamedTimes,
  setTimes,
} from "./syscalls.ts";

/** The metadata of a file: everything besides its type and content. */
export interface Attributes extends Owner {
  /** Only the low twelve bits are used. */
  readonly mode: number;
  readonly mtime: TarTime;
  readonly atime?: TarTime | undefined;
  readonly xattrs?: ReadonlyMap<string, Buffer> | undefined;
}

/** The owner and umask that new files get by themselves. A file that wants exactly these needs no further call. */
export interface Defaults {
  readonly owner: Owner;
  /** Bits that the kernel clears in the mode of new files (umask(2)). */
  readonly umask: number;
}

/** Reads the umask from /proc: umask(2) can only be read by setting it, which would affect the other threads. */
export function readDefaults(): Defaults {
  const [, octal] = /^Umask:\s*([0-7]+)$/m.exec(readFileSync("/proc/self/status", "latin1")) ?? [];
  return { owner: processOwner(), umask: octal === undefined ? 0o777 : Number.parseInt(octal, 8) };
}

/** The mode to open a new file with. {@link finishFile} sets the exact one. */
export function modeAtFirst(mode: number): number {
  return mode & 0o777;
}

/** Sets owner and mode of an open new file. The caller sets the times afterwards. */
export function finishFile(fd: number, file: Attributes, defaults: Defaults): void {
  giveOwner(file, defaults, () => changeOwner(fd, file));
  // The mode comes after owner and content, because chown(2) and write(2) clear the setuid bit.
  if ((file.mode & (defaults.umask | 0o7000)) !== 0) changeMode(fd, file.mode & 0o7777);
}

/**
 * chown(2) fails with EINVAL for an id that the user namespace doesn't map, and with EPERM without the right to
 * change owners.
 */
function giveOwner(file: Owner, { owner }: Defaults, give: () => void): void {
  if (file.uid === owner.uid && file.gid === owner.gid) return;
  try {
    give();
  } catch (cause) {
    const code = errorCode(cause) ?? "";
    if (code !== "EINVAL" && code !== "EPERM") throw cause;
    throw new UserError(
      `owner ${file.uid}:${file.gid} of the image's files can't be set in this container (${code}): it has no such ids; unpack it in a container with more ids, or privileged`,
      { cause },
    );
  }
}

/** Extended attributes that belong to the machine or its container runtime, not to the image. They are skipped. */
const foreign = /^(security\.selinux|(trusted|user)\.overlay\..*)$/;

/** Sets attributes, and warns once about each kind that can't be set in this container. */
export class AttributeSetter {
  readonly #defaults: Defaults;
  readonly #log: Pick<Log, "warn">;
  readonly #warned = new Set<string>();

  constructor(defaults: Defaults, log: Pick<Log, "warn">) {
    this.#defaults = defaults;
    this.#log = log;
  }

  /** Sets all attributes of an open file, just before it is closed. */
  set(fd: number, file: Attributes, name: string): void {
    finishFile(fd, file, this.#defaults);
    // After chown(2), which clears file capabilities.
    this.#setAll(file, name, (key, value) => setAttribute(fd, key, value));
    setTimes(fd, file.mtime, file.atime);
  }

  /** Sets all attributes of an open folder. Folders are made with a temporary mode. */
  setFolder(fd: number, folder: Attributes, name: string): void {
    giveOwner(folder, this.#defaults, () => changeOwner(fd, folder));
    changeMode(fd, folder.mode & 0o7777);
    this.#setAll(folder, name, (key, value) => setAttribute(fd, key, value));
    setTimes(fd, folder.mtime, folder.atime);
  }

  /** Sets all attributes of a symlink itself, or of a FIFO or device. */
  setNamed(at: { dirfd: number; name: string }, file: Attributes, { isLink }: { isLink: boolean }): void {
    const { dirfd, name } = at;
    giveOwner(file, this.#defaults, () => changeNamedOwner(dirfd, name, file));
    if (!isLink) changeNamedMode(dirfd, name, file.mode & 0o7777);
    this.#setAll(file, name, (key, value) => setNamedAttribute(at, key, value));
    setNamedTimes(dirfd, name, file.mtime, file.atime);
  }

  warnOnce(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#log.warn(text);
  }

  #setAll(
    { xattrs }: Attributes,
    file: string,
    set: (key: string, value: Buffer) => string | undefined,
  ): void {
    for (const [key, value] of xattrs ?? []) {
      if (foreign.test(key)) continue;
      const code = set(key, value);
      if (code === undefined) continue;
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "EOPNOTSUPP") {
        throw new UserError(
          `extended attribute ${show(key)} of ${show(file)} (${value.length} bytes) is refused by the filesystem: ${code}; the image can't be unpacked here`,
        );
      }
      const [space = key] = key.split(".");
      this.warnOnce(
        `extended attributes ${show(space).slice(1, -1)}.* can't be set here (${code}): some of the image's are left out`,
      );
    }
  }
}

function show(name: string): string {
  return JSON.stringify(Buffer.from(name.slice(0, 300), "latin1").toString("utf8"));
}
