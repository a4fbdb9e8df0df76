import type { AuthorNames, NamedParam } from "../host/author-names.ts";
import { optionsClash, readSwitch, switchArgs } from "./option-values.ts";
import { type Rule, thrownBy } from "./rules.ts";
import { type PolicyParam, policyPlaces, policySource, readJsonPolicy } from "./source-policy.ts";

/** The params that the rules read. */
interface RuledParams {
  readonly dockerfile: string | undefined;
  readonly dockerfile_inline: string | undefined;
  readonly target: string | undefined;
  readonly target_file: string | undefined;
  readonly version: string | undefined;
  readonly version_file: string | undefined;
  readonly build_args: Readonly<Record<string, string>>;
  readonly reproducible: boolean;
  readonly source_date_epoch: number | undefined;
  readonly source_policy: PolicyParam | undefined;
  readonly options: Readonly<Record<string, string>>;
  readonly platforms: readonly unknown[];
}

type RuledName = Extract<keyof RuledParams, NamedParam>;

function exclusive(names: AuthorNames, one: RuledName, other: RuledName): Rule<Partial<RuledParams>> {
  return {
    of: [other, one],
    faults: (given) =>
      given[one] !== undefined && given[other] !== undefined
        ? `${names.param(one)} and ${names.param(other)} are both given: remove one`
        : undefined,
  };
}

/** Params that exclude each other, and texts whose form only reading them shows. */
export const fieldRules = (names: AuthorNames): readonly Rule<Partial<RuledParams>>[] => [
  exclusive(names, "dockerfile", "dockerfile_inline"),
  exclusive(names, "target", "target_file"),
  exclusive(names, "version", "version_file"),
  {
    of: ["reproducible", "source_date_epoch"],
    faults: ({ reproducible = false, source_date_epoch: given }) =>
      reproducible && given !== undefined && given !== 0
        ? "params: reproducible means source_date_epoch 0; remove one of the two"
        : undefined,
  },
  {
    of: ["build_args", "reproducible", "source_date_epoch"],
    faults: ({ build_args: args = {}, reproducible = false, source_date_epoch: given }) => {
      if (!("SOURCE_DATE_EPOCH" in args) || !(reproducible || given !== undefined)) return undefined;
      const param = reproducible ? "reproducible" : "source_date_epoch";
      const message = `params: ${param} and the build arg SOURCE_DATE_EPOCH both say what times the image has: remove one of the two`;
      return [{ path: ["build_args", "SOURCE_DATE_EPOCH"], message }];
    },
  },
  {
    of: ["build_args"],
    faults: ({ build_args: args = {} }) =>
      switchArgs.flatMap((name) => {
        const value = args[name] ?? "";
        const path = ["build_args", name];
        const message = `${names.place(path)}: expected true or false, as BuildKit reads it`;
        return value === "" || readSwitch(value) !== undefined ? [] : [{ path, message }];
      }),
  },
  {
    of: ["options", "platforms"],
    faults: ({ options = {}, platforms = [] }) => {
      const clash = optionsClash(options, platforms);
      if (clash === undefined) return undefined;
      const path = ["options", clash.name];
      return [{ path, message: `${names.place(path)}: ${clash.message}` }];
    },
  },
  {
    of: ["source_policy"],
    faults: thrownBy(({ source_policy: given }) => {
      const source = given === undefined ? undefined : policySource(given);
      if (source !== undefined && "text" in source) readJsonPolicy(source.text, policyPlaces(names));
    }),
  },
];
