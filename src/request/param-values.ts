import * as z from "zod";
import { platformPattern } from "../image/platform.ts";
import { parseKnownPlatform } from "../image/platform-names.ts";
import { parseRepository } from "../image/reference.ts";
import { type TargetName, targetNamePattern } from "../image/target-name.ts";
import { optionNamePattern } from "./option-names.ts";
import { optionValues } from "./option-values.ts";
import { exactText, flag, nonEmpty, readBy, text } from "./scalars.ts";
import { placedIssue } from "./schema-parts.ts";

export const secretSource = z.union(
  [z.strictObject({ file: nonEmpty }), z.strictObject({ text }), z.strictObject({ env: nonEmpty })],
  { error: "expected one of {file: path}, {text: the secret}, {env: NAME}" },
);

const sshKey = z
  .union([nonEmpty, z.strictObject({ path: nonEmpty }), z.strictObject({ key: nonEmpty })])
  .transform((given) => {
    if (typeof given !== "string") return given;
    return given.includes("PRIVATE KEY") ? { key: given } : { path: given };
  });

export const ssh = z
  .union([sshKey, z.array(sshKey).min(1)], {
    error: "expected the path of a private key, the key itself, {path: …} or {key: …}, or a list of these",
  })
  .transform((given) => (Array.isArray(given) ? given : [given]));

// Host names and their addresses are written into one list, separated by commas and `=`.
export const hostName = z
  .string()
  .regex(/^[^\s,="]+$/, { error: 'expected a host name, without blanks, commas, quotes and "="' });
const ipAddress = z
  .string()
  .regex(/^[^\s,="]+$/, { error: 'expected an IP address, without blanks, commas, quotes and "="' });
export const ipAddresses = z
  .union([ipAddress, z.array(ipAddress).min(1)], { error: "expected an IP address, or a list of them" })
  .transform((given) => (Array.isArray(given) ? given : [given]));

const limitWords = { error: 'expected a number, or a soft and a hard limit such as "1024:2048"' };
export const ulimit = z
  .union([z.number().int(), z.string().regex(/^-?\d+(:-?\d+)?$/, limitWords)], limitWords)
  .transform(String);

export const contextName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.:/@-]*$/, {
  error: "expected the name of a stage or of an image, as FROM has it",
});

// buildctl converts the names of an exporter's attributes to lower case.
export const annotationName = z.string().regex(/^[^=\sA-Z]+$/, {
  error: 'expected a name in lower case without "=" and blanks, as in org.opencontainers.image.title',
});

// These become parts of an argument whose parts are separated by commas.
export const stageName = z.string().regex(/^[^\s,"]+$/, {
  error: "expected the name of a stage, without blanks, commas and quotes",
});
export const imageName = z.string().regex(/^[^\s,"]+$/, {
  error: "expected an image name, without blanks, commas and quotes",
});

const targetName = z
  .string()
  .regex(new RegExp(`^${targetNamePattern}$`), {
    error: 'expected the name of a stage: letters, digits, "_", "." and "-"',
  })
  .transform((name) => name as TargetName);

export const platform = z
  .string()
  .regex(new RegExp(`^${platformPattern}$`), {
    error: "expected os[(version)]/architecture[/variant], as in linux/arm64 and windows(10.0.17763)/amd64",
  })
  .transform(readBy(parseKnownPlatform));

/** The last second of the year 9999, the latest time that an image's config can hold. */
const latest = 253_402_300_799;
const epochWords = { error: "expected whole seconds since 1970, before the year 10000" };
export const epoch = z.number(epochWords).int(epochWords).nonnegative(epochWords).max(latest, epochWords);

export const compression = z
  .union(
    [
      z.enum(["gzip", "zstd", "estargz", "uncompressed"]),
      z.strictObject({
        type: z.enum(["gzip", "zstd", "estargz", "uncompressed"]),
        level: z.number().int().min(-1).max(22).optional(),
        force: flag.optional(),
      }),
    ],
    { error: "expected gzip, zstd, estargz or uncompressed, or {type, level, force}" },
  )
  .transform((given) =>
    typeof given === "string"
      ? { type: given, level: undefined, force: false }
      : { type: given.type, level: given.level, force: given.force ?? false },
  );

/** The name of an option of BuildKit's frontend that no param sets. What is wrong with another, `whyNotOption` says. */
export const optionName = z.string().regex(new RegExp(`^${optionNamePattern}`));

const optionTexts = Object.fromEntries(
  Object.entries(optionValues).map(([name, { expected }]) => [
    name,
    { type: ["string", "number", "boolean"], description: `${expected.replace(/^expected/, "Expected:")}.` },
  ]),
);

/** Options of BuildKit's frontend. Those that it checks are checked here, and sizes become bytes. */
export const frontendOptionsParam = z
  .record(optionName, text)
  .meta({ properties: optionTexts })
  .transform((given, context) =>
    Object.fromEntries(
      Object.entries(given).map(([name, value]) => {
        const known = Object.hasOwn(optionValues, name) ? optionValues[name] : undefined;
        // The frontend takes an empty value for none.
        const read = known === undefined || value === "" ? value : known.read(value);
        if (known !== undefined && read === undefined)
          context.issues.push({
            code: "custom",
            input: given,
            path: [name],
            message: known.expected,
            // Other options may be a frontend's secrets. These are numbers and names.
            params: { isShown: true },
          });
        return [name, read ?? value] as const;
      }),
    ),
  );

/** Additional targets, each with its own tags. */
export const additionalTargets = z
  .union(
    [
      z.array(targetName).meta({ uniqueItems: true }),
      z.record(targetName, z.strictObject({ tags: z.array(exactText).default([]) })),
    ],
    {
      error: "expected a list of stages, or a map of stages: {test: {tags: [test-1]}}",
    },
  )
  .transform((given, context): ReadonlyMap<TargetName, readonly string[]> => {
    if (Array.isArray(given)) {
      const twice = given.find((name, index) => given.indexOf(name) !== index);
      if (twice !== undefined) {
        const says = (place: string) => `${place}: ${JSON.stringify(twice)} is given twice: remove one`;
        context.issues.push(placedIssue(given, says));
      }
      return new Map(given.map((name) => [name, []]));
    }
    return new Map(Object.entries(given).map(([name, { tags }]) => [name as TargetName, tags]));
  });

/** Files of tags. For a file without a prefix, the put's prefix is used. */
export const tagsFiles = z
  .union([nonEmpty, z.array(z.strictObject({ file: nonEmpty, prefix: text.optional() }))], {
    error: "expected the path of a file, or a list such as [{file: info/tags, prefix: v}]",
  })
  .transform((given) => (typeof given === "string" ? [{ file: given, prefix: undefined }] : given));

export const repositoryName = z
  .string()
  // What the published schema can express of the grammar. The whole grammar is in image/reference.ts.
  .regex(
    /^(?:(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?\/)?[a-z0-9][^\s,"]*$/,
    {
      error: "expected the name of a repository, as in registry.example/team/app",
    },
  )
  .transform(readBy(parseRepository));
