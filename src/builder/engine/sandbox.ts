/**
 * Whether the step's own BuildKit runs in a sandbox of gVisor's: when nothing else works here, never, or always.
 */
export type Sandbox = "auto" | "none" | "gvisor";
