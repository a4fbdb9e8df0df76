import type * as z from "zod";
import { getFields } from "../../src/request/get-params.ts";
import { putParams } from "../../src/request/put-params.ts";
import { sourceFields } from "../../src/request/source.ts";

/** README's tables, by the name that their markers have: `<!-- params:source -->`. */
export function readmeTables(): Readonly<Record<string, string>> {
  return {
    source: table(["Field", "What it is"], fieldRows(sourceFields)),
    put: table(
      ["Param", "As in the oci-build task", "What it is"],
      Object.entries(putParams).map(([name, { upper, doc }]) => [
        code(name),
        upper.map((form) => code(form.kind === "whole" ? form.name : `${form.prefix}*`)).join(", "),
        doc,
      ]),
    ),
    get: table(["Param", "What it is"], fieldRows(getFields)),
  };
}

/** A text with the tables put between their markers anew. */
export function withTables(text: string): string {
  return Object.entries(readmeTables()).reduce(
    (current, [name, rows]) =>
      current.replace(
        new RegExp(`(<!-- params:${name} -->\n)[\\s\\S]*?(<!-- /params:${name} -->)`),
        (_, start: string, end: string) => `${start}${rows}${end}`,
      ),
    text,
  );
}

function fieldRows(fields: Readonly<Record<string, z.ZodType>>): string[][] {
  return Object.entries(fields).map(([name, schema]) => [code(name), schema.description ?? ""]);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return line(head) + line(head.map(() => "---")) + rows.map(line).join("");
}

function line(cells: readonly string[]): string {
  return `| ${cells.map((cell) => withLinks(cell.replaceAll("|", "\\|"))).join(" | ")} |\n`;
}

/** Pages become links: an editor shows the text of the schemas as it is, where a path says more. */
function withLinks(cell: string): string {
  return cell.replaceAll(/\bdocs\/([a-z-]+)\.md\b/g, "[$1]($&)");
}

function code(text: string): string {
  return `\`${text}\``;
}
