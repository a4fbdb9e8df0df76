/** The line by which Go's runtime says why it ends a program. Its paragraph may have more lines. */
const reason = /^(?:fatal error|panic|SIG[A-Z]+): /m;

/** Where the traces of all goroutines begin. After them comes what the processor's registers hold. */
const traces = /\n\n(?:goroutine |runtime stack:)/g;

/** Removes what Go's runtime prints after its reason when it ends a program: some hundred lines. Pure. */
export function withoutTraces(output: string): string {
  const from = findTraces(output);
  return from === undefined ? output : output.slice(0, from);
}

/**
 * Removes the same from a log to which other programs write too. The first line of the traces stays, so that lines
 * which are written later are known to belong to them. Pure.
 */
export function withShortTraces(log: string): string {
  const from = findTraces(log);
  const begin = from === undefined ? 0 : log.indexOf("\n", from + 1) + 1;
  if (begin === 0) return log;
  let end = begin;
  for (let next = log.indexOf("\n", end); next !== -1; next = log.indexOf("\n", end)) {
    if (!isOfTraces(log.slice(end, next))) break;
    end = next + 1;
  }
  return log.slice(0, begin) + log.slice(end);
}

/** The index of the empty line before the traces. Each paragraph before it is looked through once. */
function findTraces(output: string): number | undefined {
  for (const { index } of output.matchAll(traces)) {
    const paragraph = output.slice(output.lastIndexOf("\n\n", index - 1) + 1, index);
    if (reason.test(paragraph)) return index + 1;
  }
  return undefined;
}

function isOfTraces(line: string): boolean {
  const isCall = line.endsWith(")") && /^[^\s"=]+\(/.test(line);
  return (
    isCall ||
    /^(?:$|\t|goroutine \d|runtime stack:$|created by |\.\.\.)/.test(line) ||
    /^\w{1,8} +0x[0-9a-f]+$/.test(line)
  );
}
