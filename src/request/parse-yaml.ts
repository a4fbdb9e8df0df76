import { parse } from "yaml";
import type { ParseYaml } from "./task-yaml.ts";

export const parseYamlText: ParseYaml = (text) => parse(text, { prettyErrors: false });
