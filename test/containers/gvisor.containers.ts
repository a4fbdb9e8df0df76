import { testWays } from "./ways.ts";

const runs = "in a gVisor sandbox";

testWays([
  { kind: "unprivileged", sandbox: "auto", runs },
  { kind: "guardian-unprivileged", sandbox: "auto", runs },
  // Where it isn't needed, it is used if the source wants it.
  { kind: "full", sandbox: "gvisor", runs },
]);
