import { lstat, readFile, readlink } from "node:fs/promises";
import { dirname, join, normalize, resolve, sep } from "node:path";

/** As many as Linux follows (path_resolution(7)). */
const linkLimit = 40;

/**
 * Whether a path of a task may be used: what its author wrote may lead anywhere, but a link in an input, which is
 * someone else's, only to another input. Of what is mounted, that is everything but the system's own.
 * @param wanted an absolute path that is there
 * @param root the task's folder, a real path
 */
export async function staysAmongInputs(wanted: string, root: string): Promise<boolean> {
  const mounts = parseMounts(await readFile("/proc/self/mountinfo", "utf8"));
  const isInput = (path: string) => isWithin(path, root) || isInputMount(mountOf(path, mounts));
  const { real, passed } = await follow(wanted);
  return isInput(real) || !passed.some((link) => isInput(dirname(link)));
}

/** The real path, and the places of the links on the way to it. */
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
    // What is beneath the link's target is looked at from the top once more.
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

/** The lines of proc(5)'s mountinfo, in which blanks and backslashes are octal. */
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

/** The one with the longest path counts, and of those the last. */
function mountOf(path: string, mounts: readonly Mount[]): Mount | undefined {
  return mounts
    .filter(({ point }) => isWithin(path, point))
    .reduce<Mount | undefined>(
      (best, mount) => (best === undefined || mount.point.length >= best.point.length ? mount : best),
      undefined,
    );
}

/** Folders that hold no input, whatever is mounted there: the kernel's, and the step's own. */
const systemFolders = ["/proc", "/sys", "/dev", "/etc", "/run", "/scratch", "/opt/resource"];
const systemTypes = /^(proc|sysfs|devtmpfs|devpts|mqueue|cgroup2?|securityfs|debugfs|tracefs|bpf|pstore)$/;

function isInputMount(mount: Mount | undefined): boolean {
  if (mount === undefined || mount.point === "/" || systemTypes.test(mount.type)) return false;
  return !systemFolders.some((folder) => isWithin(mount.point, folder));
}

function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : folder + sep);
}
