/** When the step's own BuildKit runs in a gVisor sandbox: if nothing else works here, never, or always. */
export type Sandbox = "auto" | "none" | "gvisor";
