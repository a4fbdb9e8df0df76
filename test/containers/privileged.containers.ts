import { testWays } from "./ways.ts";

const runs = "with this container's privileges";

testWays([
  { kind: "full", sandbox: "auto", runs },
  { kind: "guardian", sandbox: "auto", runs },
]);
