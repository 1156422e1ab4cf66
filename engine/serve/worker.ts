// The worker thread of one device.
import { parentPort, workerData } from "node:worker_threads";
import type { GpuOptions } from "../gpu/adapter.ts";
import { serveDevice } from "./device.ts";

await serveDevice(parentPort!, workerData as GpuOptions);
