import { glob, readFile } from "node:fs/promises";
import { join } from "node:path";
import { checkout } from "../runs/test-step.ts";

/** The README, the other pages beside it, and those of docs/: their text by their names. */
export async function readPages(): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for await (const name of glob(["*.md", "docs/*.md"], { cwd: checkout }))
    found.set(name, await readFile(join(checkout, name), "utf8"));
  return found;
}

/** A block of code of a page, or a whole example. */
export interface Block {
  /** `docs/caching.md:20` */
  readonly where: string;
  /** `yaml`, `sh`, `dockerfile` … */
  readonly language: string;
  readonly text: string;
  /** The heading that it is under. */
  readonly section: string;
}

/** The blocks of code of a page, in their order. */
export function blocksOf(name: string, page: string): readonly Block[] {
  return Array.from(page.matchAll(/^( *)```(\w+)\n([\s\S]*?)^ *```/gm), (match) => {
    const [, indent = "", language = "", text = ""] = match;
    const before = page.slice(0, match.index);
    return {
      where: `${name}:${before.split("\n").length}`,
      language,
      text: text.replaceAll(new RegExp(`^${indent}`, "gm"), ""),
      section: Array.from(before.matchAll(/^#+ (.*)$/gm)).at(-1)?.[1] ?? "",
    };
  });
}

/** Every file of examples/ and ci/ with pipelines, as a block of YAML. */
export async function examples(): Promise<readonly Block[]> {
  const found: Block[] = [];
  for await (const where of glob(["examples/*.yml", "ci/*.yml"], { cwd: checkout })) {
    const text = await readFile(join(checkout, where), "utf8");
    found.push({ where, language: "yaml", text, section: "" });
  }
  return found;
}
