/** The kinds of private key that BuildKit reads (golang.org/x/crypto/ssh, ParseRawPrivateKey). */
const block =
  /-----BEGIN (?:(?:RSA|EC|DSA|OPENSSH|ENCRYPTED) )?PRIVATE KEY-----(.*?)-----END [A-Z ]*PRIVATE KEY-----/s;

/**
 * Says why BuildKit can't use a private key, without showing it. Returns undefined if nothing is wrong that can be seen.
 * Pure.
 */
export function sshKeyFault(text: string): string | undefined {
  const [whole, body = ""] = block.exec(text) ?? [];
  if (whole === undefined) {
    if (/^(ssh|ecdsa|sk)-\S+ /.test(text.trim()))
      return "it is a public key; give the private key, which begins with -----BEGIN … PRIVATE KEY-----";
    return "it is not a private key, which begins with -----BEGIN … PRIVATE KEY----- and ends with -----END … PRIVATE KEY-----";
  }
  return isEncrypted(whole, body)
    ? "it has a passphrase, and nobody could type it here; give a key without one"
    : undefined;
}

function isEncrypted(whole: string, body: string): boolean {
  if (/BEGIN ENCRYPTED |^Proc-Type: 4,ENCRYPTED/m.test(whole)) return true;
  if (!whole.includes("BEGIN OPENSSH")) return false;
  // openssh/PROTOCOL.key: a magic word, then the cipher's name with its length before it.
  const bytes = Buffer.from(body.replaceAll(/\s/g, ""), "base64");
  const magic = "openssh-key-v1\0";
  if (bytes.toString("latin1", 0, magic.length) !== magic) return false;
  return !bytes.subarray(magic.length).toString("latin1").startsWith("\0\0\0\x04none");
}
