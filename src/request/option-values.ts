import { bytes } from "./scalars.ts";

/** How BuildKit's Dockerfile frontend reads the text of an option. */
interface OptionValue {
  /** What is expected, as messages say it. */
  readonly expected: string;
  /** What the frontend gets for a text; undefined if it would refuse the text, or RUN would fail by it. */
  readonly read: (text: string) => string | undefined;
}

/** The most processors and memory nodes that BuildKit counts (util/cpuset). */
const maxCpu = 8192;

/** Bytes that runc needs to start a RUN; Docker refuses less too. */
const leastMemory = 6 * 1024 * 1024;

const microseconds = (from: number, to: number, expected: string): OptionValue => ({
  expected,
  read: (text) => wholeIn(text, from, to),
});
const cpuset = (what: string): OptionValue => ({
  expected: `expected numbers of ${what}, such as 0-3,5`,
  read: readCpuset,
});

/**
 * The options whose values BuildKit's Dockerfile frontend checks, and that no param sets (frontend/dockerui/attr.go and
 * config.go). The bounds of times and shares are the kernel's (cgroup v2, `cpu.max`; cgroup v1, `cpu.shares`).
 */
export const optionValues: Readonly<Record<string, OptionValue>> = {
  cpuperiod: microseconds(1000, 1_000_000, "expected microseconds from 1000 to 1000000, such as 100000"),
  cpuquota: microseconds(
    1000,
    Number.MAX_SAFE_INTEGER,
    "expected microseconds of each cpuperiod, at least 1000: 150000 is one and a half processors",
  ),
  cpusetcpus: cpuset("processors"),
  cpusetmems: cpuset("memory nodes"),
  cpushares: {
    expected: "expected a whole number from 2 to 262144, such as 512, where 1024 is the usual share",
    read: (text) => wholeIn(text, 2, 262_144),
  },
  hostname: {
    expected: "expected a host name of at most 64 characters, without blanks",
    read: (text) => (/^[^\s/]{1,64}$/.test(text) ? text : undefined),
  },
  memory: {
    expected: "expected a number of bytes, or a size such as 512m or 2g, 6m at least",
    read: (text) => {
      const read = readSize(text);
      return Number(read) >= leastMemory ? read : undefined;
    },
  },
  memswap: {
    expected:
      "expected memory and swap together: a number of bytes, a size such as 512m or 2g, or -1 for no limit",
    read: (text) => (text === "-1" ? text : readSize(text)),
  },
  "multi-platform": { expected: "expected true or false", read: readSwitch },
};

/** The build args that BuildKit's Dockerfile frontend reads as true or false. */
export const switchArgs = ["BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_GIT_ADVICE", "BUILDKIT_MULTI_PLATFORM"];

/** A text that Go's strconv.ParseBool reads. */
export function readSwitch(text: string): string | undefined {
  return /^(1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(text) ? text : undefined;
}

function wholeIn(text: string, from: number, to: number): string | undefined {
  return /^\d+$/.test(text) && Number(text) >= from && Number(text) <= to ? text : undefined;
}

/** A size above 0, in bytes. */
function readSize(text: string): string | undefined {
  const { data } = bytes.safeParse(text);
  return data === undefined || data === 0 ? undefined : String(data);
}

function readCpuset(text: string): string | undefined {
  const parts = text.split(",").map((part) => /^\s*(\d{1,4})\s*(?:-\s*(\d{1,4})\s*)?$/.exec(part));
  const isRead = parts.every((part) => {
    const [, from = "", to = from] = part ?? [];
    return part !== null && Number(from) <= Number(to) && Number(to) <= maxCpu;
  });
  return isRead ? text : undefined;
}

/** What doesn't go together in options and platforms, or undefined. */
export function optionsClash(
  options: Readonly<Record<string, string>>,
  platforms: readonly unknown[],
): { readonly name: string; readonly message: string } | undefined {
  const { memory, memswap, "multi-platform": several } = options;
  if (memswap !== undefined && memswap !== "-1") {
    if (memory === undefined)
      return { name: "memswap", message: "expected memory beside it, as it limits memory and swap together" };
    if (Number(memswap) < Number(memory))
      return {
        name: "memswap",
        message: "expected no less than memory, as it limits memory and swap together",
      };
  }
  if (several !== undefined && /^(0|f)/i.test(several) && platforms.length > 1)
    return {
      name: "multi-platform",
      message: "several platforms always give an index: remove it, or all platforms but one",
    };
  return undefined;
}
