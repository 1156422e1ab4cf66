// Run as a process of its own: prepares in the main thread, opens in a worker, and must end by itself.
// argv: GpuOptions as JSON. Prints the report as JSON.
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { openGpu, prepareAdapter } from "../engine/gpu/adapter.ts";

if (isMainThread) {
  const workerData = await prepareAdapter(JSON.parse(process.argv[2]!));
  const worker = new Worker(new URL(import.meta.url), { workerData });
  worker.on("message", (report) => console.log(JSON.stringify(report)));
} else {
  const gpu = await openGpu(workerData);
  parentPort!.postMessage(gpu.report);
  gpu.destroy();
}
