/**
 * Masks credentials in text from other programs and servers, before it is shown:
 *
 * - in URLs (`https://user:password@host`, `https://token@host`, `ftp://user:password@host`). A quote may be part of a
 *   password. Before a blank or a mark such as a comma it is taken for the end of a quoted URL.
 * - in an `Authorization` header that a registry or proxy repeats, and after `Basic` and `Bearer` elsewhere
 * - JSON web tokens
 * - `secrets`, wherever they occur
 *
 * The time is linear in the length of the text.
 * @param secrets known secrets; those of fewer than four characters are ignored, because they occur in many words
 */
export function maskCredentials(text: string, secrets: readonly string[] = []): string {
  return secrets
    .filter((secret) => secret.length >= shortestSecret)
    .reduce((shown, secret) => shown.replaceAll(secret, "***"), text)
    .replaceAll(
      /:\/\/((?:[^\s/"']|["'](?![\s,;:)\]}]))+)@/g,
      (found, login: string, at: number, shown: string) => {
        const scheme = /[a-z+]+$/i.exec(shown.slice(Math.max(0, at - longestScheme), at))?.[0];
        if (scheme === undefined) return found;
        if (/^https?$/i.test(scheme)) return "://***@";
        const [user = "", password] = login.split(":", 2);
        return user === "" || password === undefined || password === "" ? found : `://${user}:***@`;
      },
    )
    .replaceAll(/\b(authorization\W{1,8}(?:basic|bearer|digest|negotiate|ntlm)\s{1,4})[^\s"',\]]+/gi, "$1***")
    .replaceAll(
      /\b((?:basic|bearer)(?:\s|%20|\+){1,4})([A-Za-z0-9._~+/-]{6,}={0,2})/gi,
      (found, kind, token) => (looksRandom(token) ? `${kind}***` : found),
    )
    .replaceAll(/(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?/g, "***");
}

/** Characters; enough for `docker-container+https` and the like. */
const longestScheme = 32;
const shortestSecret = 4;

/** Whether a token can't be an ordinary word: words have no digits, and capitals only at their beginning. */
function looksRandom(token: string): boolean {
  return /\d|=$/.test(token) || /[a-z][A-Z]/.test(token);
}

/**
 * Removes the queries of URLs: those of registries' uploads and redirects hold state and signatures. The time is
 * linear in the length of the text.
 * @param kept matches the queries that stay, each from its "?" on
 */
export function withoutQueries(text: string, kept?: RegExp): string {
  return text.replaceAll(/[^\s"']+/g, (word) => {
    const url = word.search(/\bhttps?:\/\//);
    const query = url === -1 ? -1 : word.indexOf("?", url);
    if (query === -1 || kept?.test(word.slice(query)) === true) return word;
    return word.slice(0, query) + (word.endsWith(":") ? ":" : "");
  });
}
