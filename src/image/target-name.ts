declare const targetBrand: unique symbol;

/** The name of a stage that is built beside the main target: see {@link isTargetName}. */
export type TargetName = string & { readonly [targetBrand]: "target name" };

/** See {@link isTargetName}. */
export const targetNamePattern = "[A-Za-z0-9][A-Za-z0-9_.-]{0,254}";

/**
 * Whether a text can name a stage, by its name or its number (Dockerfile reference, `FROM … AS`). Such a text is
 * also safe as the name of the folder that an additional target is delivered into: it has no slash and doesn't
 * begin with a dot.
 */
export function isTargetName(text: string): text is TargetName {
  return new RegExp(`^${targetNamePattern}$`).test(text);
}
