import { lstat, readFile, readlink } from "node:fs/promises";
import { dirname, join, normalize, resolve, sep } from "node:path";

/** The number of symlinks that Linux follows (path_resolution(7)). */
const linkLimit = 40;

/**
 * Whether a task may use a path. A path that its author wrote may lead anywhere. A symlink inside an input was made
 * by others, so it may only lead to an input. Inputs are the task's folder and all mounts except the system's own.
 * @param wanted an absolute path that exists
 * @param root the task's folder, a real path
 */
export async function staysAmongInputs(wanted: string, root: string): Promise<boolean> {
  const mounts = parseMounts(await readFile("/proc/self/mountinfo", "utf8"));
  const isInput = (path: string) => isWithin(path, root) || isInputMount(mountOf(path, mounts));
  const { real, passed } = await follow(wanted);
  return isInput(real) || !passed.some((link) => isInput(dirname(link)));
}

/** Returns the real path, and the paths of the symlinks on the way to it. */
async function follow(path: string): Promise<{ readonly real: string; readonly passed: readonly string[] }> {
  const passed: string[] = [];
  let waiting = normalize(path).split(sep).filter(Boolean);
  let real = "/";
  while (waiting.length > 0) {
    const [part = "", ...rest] = waiting;
    const next = join(real, part);
    const isLink = (await lstat(next)).isSymbolicLink();
    if (!isLink) {
      real = next;
      waiting = rest;
      continue;
    }
    passed.push(next);
    if (passed.length > linkLimit) return { real: next, passed };
    // The target may contain symlinks itself, so it is followed from the root.
    const target = resolve(real, await readlink(next));
    real = "/";
    waiting = [...target.split(sep).filter(Boolean), ...rest];
  }
  return { real, passed };
}

interface Mount {
  readonly point: string;
  readonly type: string;
}

/** Parses proc(5)'s mountinfo, in which blanks and backslashes are octal escapes. */
function parseMounts(text: string): readonly Mount[] {
  return text.split("\n").flatMap((line) => {
    const [, point, type] = /^\S+ \S+ \S+ \S+ (\S+) .* - (\S+) /.exec(line) ?? [];
    if (point === undefined || type === undefined) return [];
    const plain = point.replaceAll(/\\([0-7]{3})/g, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 8)),
    );
    return [{ point: plain, type }];
  });
}

/** The mount that a path is on: the one with the longest mount point, and the last of those with the same one. */
function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  return mounts
    .filter(({ point }) => isWithin(path, point))
    .reduce<Mount | undefined>(
      (best, mount) => (best === undefined || mount.point.length >= best.point.length ? mount : best),
      undefined,
    );
}

/** Folders that never hold an input, whatever is mounted there: the kernel's, and the step's own. */
const systemFolders = ["/proc", "/sys", "/dev", "/etc", "/run", "/scratch", "/opt/resource"];
const systemTypes = /^(proc|sysfs|devtmpfs|devpts|mqueue|cgroup2?|securityfs|debugfs|tracefs|bpf|pstore)$/;

function isInputMount(mount: Mount | undefined): boolean {
  if (mount === undefined || mount.point === "/" || systemTypes.test(mount.type)) return false;
  return !systemFolders.some((folder) => isWithin(mount.point, folder));
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : folder + sep);
}
