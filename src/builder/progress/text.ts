/** `0.4 s`, `12 s`, `3 min 5 s`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/**
 * Hides credentials: those of URLs (`https://user:password@host`, `https://token@host`, `ftp://user:password@host`), and
 * those of an `Authorization` header that a registry or proxy repeats. Linear in the text.
 */
export function maskCredentials(text: string): string {
  return text
    .replaceAll(/:\/\/([^\s/"']+)@/g, (found, login: string, at: number) => {
      const scheme = /[a-z+]+$/i.exec(text.slice(Math.max(0, at - longestScheme), at))?.[0];
      if (scheme === undefined) return found;
      if (/^https?$/i.test(scheme)) return "://***@";
      const [user = "", password] = login.split(":", 2);
      return user === "" || password === undefined || password === "" ? found : `://${user}:***@`;
    })
    .replaceAll(/\b(authorization\W{1,8}(?:basic|bearer|negotiate)\s{1,4})[^\s"',\]]+/gi, "$1***");
}

/** Characters; `docker-container+https` and the like. */
const longestScheme = 32;

/** URLs without their queries: those of registries' uploads and redirects carry states and signatures. Linear. */
export function withoutQueries(text: string): string {
  return text.replaceAll(/[^\s"']+/g, (word) => {
    const url = word.search(/\bhttps?:\/\//);
    const query = url === -1 ? -1 : word.indexOf("?", url);
    if (query === -1) return word;
    return word.slice(0, query) + (word.endsWith(":") ? ":" : "");
  });
}

/** Whether buildctl logs what it notices on its own side (logrus, and Go's http2): never why a build fails. */
export function isClientLog(line: string): boolean {
  return /^time="[^"]*" level=(debug|info|warning|error) |^\d{4}\/\d\d\/\d\d [\d:]{8} http2: /.test(line);
}
