import type { ParseYaml } from "../request/task-yaml.ts";

/** Loads a parser of YAML, which few requests need. Its errors have the place of the fault, as `pos`. */
export async function loadYamlParser(): Promise<ParseYaml> {
  const { parseYamlText } = await import("../request/parse-yaml.ts");
  return parseYamlText;
}
