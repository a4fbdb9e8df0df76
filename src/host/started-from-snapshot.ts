import { startupSnapshot } from "node:v8";

/**
 * Whether this process has started from a start-up snapshot, or makes one. The value is in the snapshot, so the module
 * must be loaded while that is made: `main.ts` imports it.
 */
export const startedFromSnapshot: boolean = startupSnapshot.isBuildingSnapshot();
