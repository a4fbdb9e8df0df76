import type { ParseYaml } from "../request/task-yaml.ts";

/** Loads a parser of YAML, which few requests need. Its errors have the place of the fault, as `pos`. */
export async function loadYamlParser(): Promise<ParseYaml> {
  const { parse } = await import("yaml");
  return (text) => parse(text, { prettyErrors: false });
}
