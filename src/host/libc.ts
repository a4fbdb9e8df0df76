import koffi from "koffi";

/** The C library that Node itself is linked with, for calls of Linux that Node doesn't have. Loaded once. */
export const libc: ReturnType<typeof koffi.load> = koffi.load(null);
