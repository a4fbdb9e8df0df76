/**
 * The lines by which Go's runtime says why it ends a program, and after them the traces of all goroutines and what
 * the processor's registers hold.
 */
const crash = /^((?:fatal error|panic|SIG[A-Z]+): .*\n(?:.+\n)*)\n(?:goroutine |runtime stack:)[\s\S]*/m;

/** Removes what Go's runtime prints after its reason when it ends a program: some hundred lines. Pure. */
export function withoutTraces(output: string): string {
  return output.replace(crash, "$1");
}
