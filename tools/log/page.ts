/** A text with each log put between its markers anew: `<!-- log:NAME -->`. */
export function withLogs(text: string, logs: Readonly<Record<string, string>>): string {
  return Object.entries(logs).reduce(
    (current, [name, log]) =>
      current.replace(
        new RegExp(`(<!-- log:${name} -->\n)[\\s\\S]*?(<!-- /log:${name} -->)`),
        (_, start: string, end: string) => `${start}\n\`\`\`text\n${log.trimEnd()}\n\`\`\`\n\n${end}`,
      ),
    text,
  );
}

/** The logs of a page, by the names of their markers. */
export function logsOf(text: string): Readonly<Record<string, string>> {
  const found = text.matchAll(/<!-- log:(\S+) -->\n\n```text\n([\s\S]*?)```\n\n<!-- \/log:\1 -->/g);
  return Object.fromEntries(Array.from(found, ([, name = "", log = ""]) => [name, log]));
}
