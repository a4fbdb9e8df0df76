/**
 * A program's arguments by which another one runs with something of strace(1)'s done to these system calls, of its
 * children too.
 * @param calls one or several, by commas
 * @param how as strace's `inject` has it: `error=EINVAL`, `signal=SIGKILL:when=3`, `delay_enter=1000`; calls are counted by thread
 */
export function injecting(calls: string, how: string): string[] {
  const quiet = ["strace", "-f", "-qqq", "-o", "/dev/null"];
  return [...quiet, "-e", `trace=${calls}`, "-e", `inject=${calls}:${how}`];
}
