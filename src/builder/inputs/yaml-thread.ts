import { parentPort, workerData } from "node:worker_threads";
import { parseYamlPairs } from "./yaml-pairs.ts";

parentPort?.postMessage(parseYamlPairs(workerData as string));
