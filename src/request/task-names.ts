import { UserError } from "../host/errors.ts";
import type { Environment } from "../host/step-context.ts";

/**
 * Variables that the oci-build task also reads under other spellings, which envconfig derives from its field names.
 */
const respelt = [
  "BUILDKIT_SSH",
  "TARGET",
  "TARGET_FILE",
  "BUILD_ARGS",
  "BUILD_ARGS_FILE",
  "LABELS",
  "LABELS_FILE",
  "IMAGE_ARGS",
  "IMAGE_PLATFORM",
  "UNPACK_ROOTFS",
  "OUTPUT_OCI",
  "BUILDKIT_EXTRA_CONFIG",
];

/** Usual names by their other spellings: `unpack_rootfs`, `UNPACKROOTFS` and `unpackrootfs` are `UNPACK_ROOTFS`. */
const spellings: ReadonlyMap<string, string> = new Map(
  respelt.flatMap((name) => {
    const joined = name.replaceAll("_", "");
    return [joined, name.toLowerCase(), joined.toLowerCase()].map((spelling) => [spelling, name] as const);
  }),
);

/** The usual name of a variable that is read under other spellings too. Any other name is answered as it is. Pure. */
export function usualName(name: string): string {
  return spellings.get(name) ?? name;
}

/**
 * A task's environment with every variable under its usual name.
 * @throws UserError if a variable is set under two names to different values
 */
export function withUsualNames(env: Environment): Environment {
  const usual: Record<string, string | undefined> = {};
  const from = new Map<string, string>();
  for (const [given, value] of Object.entries(env)) {
    const name = usualName(given);
    const earlier = usual[name] ?? "";
    if (earlier !== "" && value !== "" && value !== undefined && earlier !== value)
      throw new UserError(`${from.get(name)} and ${given} are two spellings of ${name}: remove one`);
    if (earlier !== "") continue;
    usual[name] = value;
    from.set(name, given);
  }
  return usual;
}
