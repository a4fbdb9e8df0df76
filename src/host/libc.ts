import koffi from "koffi";

/** The C library that Node itself is linked with, for Linux calls that Node doesn't have. */
export const libc: ReturnType<typeof koffi.load> = koffi.load(null);
