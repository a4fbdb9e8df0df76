import { Worker } from "node:worker_threads";

/** What a thread sends instead of its own messages if its file fails. */
interface Failure {
  readonly failed: { readonly message: string; readonly stack?: string; readonly code?: string };
}

/**
 * Starts a thread that runs a module. If the module can't be loaded, or throws while it is evaluated, the thread ends
 * with an `error` event that has the error's message, stack and code. What it throws later, it must catch itself.
 *
 * Node would send the error itself, but for that the thread loads `node:v8`. In a process that was started from a
 * snapshot, Node 24.21 then ends with a failed assertion.
 * @param workerData what the module finds by that name in `node:worker_threads`
 */
export function startThread(file: URL, workerData?: unknown): Worker {
  // What Node's command line has the program import is for no thread, which would load it again.
  const worker = new Worker(threadEntry(file), { eval: true, workerData, execArgv: [] });
  const emit = worker.emit.bind(worker) as (event: string, ...values: unknown[]) => boolean;
  worker.emit = (event: string, ...values: unknown[]) => {
    const [message] = values;
    return event === "message" && isSentFailure(message)
      ? emit("error", errorOf(message))
      : emit(event, ...values);
  };
  return worker;
}

const threadEntry = (file: URL) => `import(${JSON.stringify(file.href)}).catch((thrown) => {
  const { message, stack, code } = thrown instanceof Error ? thrown : new Error(String(thrown));
  require("node:worker_threads").parentPort.postMessage({ failed: { message, stack, code } });
});`;

function isSentFailure(message: unknown): message is Failure {
  return typeof message === "object" && message !== null && "failed" in message;
}

function errorOf({ failed: { message, stack, code } }: Failure): Error {
  const error = new Error(message);
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}
