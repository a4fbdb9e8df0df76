import { optionsClash, readSwitch, switchArgs } from "./option-values.ts";
import { type Rule, thrownBy } from "./rules.ts";
import { type PolicyParam, policySource, readJsonPolicy } from "./source-policy.ts";

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

function exclusive(one: keyof RuledParams, other: keyof RuledParams): Rule<Partial<RuledParams>> {
  return {
    of: [other, one],
    faults: (given) =>
      given[one] !== undefined && given[other] !== undefined
        ? `${one} and ${other} are both given: remove one`
        : undefined,
  };
}

/** Params that exclude each other, and texts whose form only reading them shows. */
export const fieldRules: readonly Rule<Partial<RuledParams>>[] = [
  exclusive("dockerfile", "dockerfile_inline"),
  exclusive("target", "target_file"),
  exclusive("version", "version_file"),
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
        const message = `params.build_args.${name}: expected true or false, as BuildKit reads it`;
        return value === "" || readSwitch(value) !== undefined
          ? []
          : [{ path: ["build_args", name], message }];
      }),
  },
  {
    of: ["options", "platforms"],
    faults: ({ options = {}, platforms = [] }) => {
      const clash = optionsClash(options, platforms);
      if (clash === undefined) return undefined;
      const { name, message } = clash;
      return [{ path: ["options", name], message: `params.options.${name}: ${message}` }];
    },
  },
  {
    of: ["source_policy"],
    faults: thrownBy(({ source_policy: given }) => {
      const source = given === undefined ? undefined : policySource(given);
      if (source !== undefined && "text" in source) readJsonPolicy(source.text, "params.source_policy");
    }),
  },
];
