import { libc } from "../host/libc.ts";

/**
 * The functions of <openssl/sha.h>, from the OpenSSL that Node is built with. Node's own object for a digest belongs to
 * one thread. And in a process that was started from a snapshot, a thread that loads `node:crypto` ends Node 24.21.
 */
const openssl = {
  init: libc.func("int SHA256_Init(void *state)"),
  update: libc.func("int SHA256_Update(void *state, const void *bytes, size_t size)"),
  final: libc.func("int SHA256_Final(void *digest, void *state)"),
} as const;

/** Bytes that are more than a `SHA256_CTX` has. */
const roomForState = 128;

/** Computes digests, one after the other. Threads that share the state's memory can take turns at one. */
export class Sha256 {
  readonly #state: Uint8Array;

  /** @param state 128 bytes; by default of this object's own */
  constructor(state: Uint8Array = new Uint8Array(roomForState)) {
    this.#state = state;
  }

  /** Begins a digest. Must be called first. */
  begin(): void {
    openssl.init(this.#state);
  }

  add(bytes: Uint8Array): void {
    openssl.update(this.#state, bytes, bytes.length);
  }

  /** Ends the digest. Returns its 32 bytes. */
  end(): Buffer {
    const digest = Buffer.alloc(32);
    openssl.final(digest, this.#state);
    return digest;
  }
}
