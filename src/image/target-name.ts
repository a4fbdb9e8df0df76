declare const targetBrand: unique symbol;

/** The name of a stage that is built beside the main target: see {@link isTargetName}. */
export type TargetName = string & { readonly [targetBrand]: "target name" };

/** See {@link isTargetName}. */
export const targetNamePattern = "[A-Za-z0-9][A-Za-z0-9_.-]{0,254}";

/**
 * Whether a text can name a stage (Dockerfile reference, `FROM … AS`; a number counts them). Such a name is also a
 * safe one for the folder that an additional target is delivered into: no slash, no dot in front.
 */
export function isTargetName(text: string): text is TargetName {
  return new RegExp(`^${targetNamePattern}$`).test(text);
}
