import { randomWords } from "./syscalls.ts";

/**
 * A hash of a folder and a name in it: HalfSipHash-1-3 (Aumasson and Bernstein). Its key is random, so nobody can
 * prepare names that collide.
 */
export class NameHash {
  readonly #key = randomWords();

  /** A whole number from 0 to 2^32 - 1. */
  of(folder: number, name: string): number {
    const [k0, k1] = this.#key;
    let v0 = k0;
    let v1 = k1;
    let v2 = 0x6c796765 ^ k0;
    let v3 = 0x74656462 ^ k1;
    const length = name.length;
    const words = 2 + (length >>> 2);
    // One round each for the folder, the name's whole words, and the rest of the name with its length; then three
    // more.
    for (let round = 0; round < words + 3; round++) {
      let word = 0;
      if (round === 0) {
        word = folder;
      } else if (round < words) {
        const start = (round - 1) * 4;
        for (let at = Math.min(length, start + 4) - 1; at >= start; at--)
          word = (word << 8) | name.charCodeAt(at);
        if (round === words - 1) word |= length << 24;
      } else if (round === words) {
        v2 ^= 0xff;
      }
      v3 ^= word;
      v0 = (v0 + v1) | 0;
      v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
      v0 = (v0 << 16) | (v0 >>> 16);
      v2 = (v2 + v3) | 0;
      v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
      v0 = (v0 + v3) | 0;
      v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
      v2 = (v2 + v1) | 0;
      v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
      v2 = (v2 << 16) | (v2 >>> 16);
      v0 ^= word;
    }
    return (v1 ^ v3) >>> 0;
  }
}
