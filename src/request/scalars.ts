import * as z from "zod";
import { messageOf, UserError } from "../host/errors.ts";
import { placedIssue } from "./schema-parts.ts";

/** A YAML scalar that stands for a string: `1` and `true` in a pipeline are taken as text. */
export const text = z
  .union([z.string(), z.number(), z.boolean()], {
    error: ({ input }) => (input === null ? 'expected a string ("" for an empty one)' : "expected a string"),
  })
  .transform(String);

/** As {@link text}, for values whose digits count: YAML reads 1.10 as the number 1.1. */
export const exactText = z
  .union([z.string(), z.int(), z.boolean()], {
    error: "expected a string; put a number with a point in quotes, because YAML reads 1.10 as 1.1",
  })
  .transform(String);

/** Names of build args, which are written before a `=` in an argument. */
export const argNamePattern = "(?!(true|false)$)[^=\\s]+$";
export const argName = z.string().regex(new RegExp(`^${argNamePattern}`), {
  error:
    'expected a name without "=" and blanks, and not true or false, which YAML makes of y, n, yes, no, on and off: put such a name in quotes',
});
/** Names of labels, which may contain blanks, as in Docker. */
export const labelNamePattern = "[^=]+$";
export const labelName = z.string().regex(new RegExp(`^${labelNamePattern}`), {
  error: 'expected a name without "="',
});

export const flag = z.boolean();

export const nonEmpty = z.string().min(1, { error: "expected a string that is not empty" });

/** A value that is written into an AWS configuration file: one word on one line. */
export const singleWord = nonEmpty.regex(/^[^\s\p{Cc}]+$/u, { error: "expected text without blanks" });

/** PEM text, or a list of PEM texts. */
export const pem = z
  .union([nonEmpty, z.array(nonEmpty)], { error: "expected PEM text, or a list of PEM texts" })
  .transform((given) => (Array.isArray(given) ? given.join("\n") : given));

const idPart = "[A-Za-z0-9_.:@-]+";
export const idPattern = `(?!-)(?!(.*\\/)?\\.\\.?(\\/|$))(?=.{1,200}$)${idPart}(\\/${idPart})*$`;

/**
 * Ids of secrets and ssh keys: `.npmrc` (which is what `--mount=type=secret,target=/root/.npmrc` asks for),
 * `GIT_AUTH_TOKEN.git.example:8443`, `aws/credentials`. The last part becomes a file name under /run/secrets.
 */
export const id = z.string().regex(new RegExp(`^${idPattern}`), {
  error:
    'expected up to 200 letters, digits, "_", ".", ":", "@", "-" and "/" (no part may be "." or ".."), as in npm_token',
});

const sizeWords = { error: "expected a number of bytes, or a size such as 64m or 1g" };

/** A size in bytes, as a number or as Docker writes it: `64m`, `1g`. */
export const bytes = z
  .union(
    [
      z.number(sizeWords).int(sizeWords).nonnegative(sizeWords),
      z.string().regex(/^\d+\s*([bkmgt]b?)?$/i, sizeWords),
    ],
    sizeWords,
  )
  .transform((given) => {
    if (typeof given === "number") return given;
    const unit = /[bkmgt]/i.exec(given)?.[0]?.toLowerCase() ?? "b";
    return Number.parseInt(given, 10) * 1024 ** "bkmgt".indexOf(unit);
  })
  .refine(Number.isSafeInteger, { error: "expected a size that a machine may have" });

/**
 * A transformation by a function that throws UserError. Its message is the fault's.
 * @param read is told how to name the field
 */
export function readBy<I, O>(read: (given: I, place: string) => O) {
  return (given: I, context: z.core.ParsePayload<I>): O => {
    try {
      return read(given, "");
    } catch (thrown) {
      if (!(thrown instanceof UserError)) throw thrown;
      context.issues.push(placedIssue(given, (place) => messageThrownBy(() => read(given, place))));
      return z.NEVER;
    }
  };
}

function messageThrownBy(read: () => unknown): string {
  try {
    read();
  } catch (thrown) {
    return messageOf(thrown);
  }
  throw new Error("what was refused before is taken now");
}

/** The fields without those that are undefined. */
export function present<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
