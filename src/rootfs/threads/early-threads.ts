import type { StepContext } from "../../host/step-context.ts";
import { Threads } from "./threads.ts";

/** The threads of an unpacking, started before it is known what is unpacked. */
export interface EarlyThreads extends AsyncDisposable {
  /** Hands the threads over to the first caller, who disposes of them. Others get undefined. */
  take(): Threads | undefined;
}

/** Starts the threads, which takes as long as asking a registry for an image. */
export function startThreadsEarly(step: Pick<StepContext, "log" | "signal">): EarlyThreads {
  let threads: Threads | undefined = new Threads(step);
  const take = () => {
    const taken = threads;
    threads = undefined;
    return taken;
  };
  return { take, [Symbol.asyncDispose]: async () => take()?.[Symbol.asyncDispose]() };
}
