import type { Run } from "./resource.ts";

/** Each build adds a line to a file in each mount, and shows what was there before. */
export const counting = (flags: string) => `ARG round
RUN ${flags} echo $round >> /m/rounds && cp /m/rounds /result
`;

/** What the last line on cache mounts says of what was copied. What follows it, on times, differs from run to run. */
export function said({ stderr }: Run): string | undefined {
  return stderr.match(/^cache mounts: .*?(?=; steps |$)/gm)?.at(-1);
}
