import { testWays } from "./ways.ts";

const common = { sandbox: "auto", runs: "in a user namespace" } as const;

testWays([
  { kind: "fuse-only", ...common },
  { kind: "fuse-only-released", ...common },
  { kind: "unprivileged-on-fuse-only", ...common },
  { kind: "operator-profile", ...common },
]);
