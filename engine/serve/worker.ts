// The worker thread of one device.
import { parentPort, workerData } from "node:worker_threads";
import { serveDevice } from "./deviceServer.ts";
import type { ThreadData } from "./messages.ts";

await serveDevice(parentPort!, workerData as ThreadData);
