// The end of a device's thread: when it has said that it is closed, nothing that waits in it goes on.
import { EventEmitter } from "node:events";
import type { MessagePort } from "node:worker_threads";
import { expect, test } from "vitest";
import type { Gpu } from "../gpu/adapter.ts";
import { serveDevice } from "./deviceServer.ts";
import type { Machine } from "./machine.ts";
import type { FromWorker, ThreadData } from "./messages.ts";
import { pulseMemory } from "./pulse.ts";

test.each(["close", "abandon"] as const)("%s: it is told, and then the thread ends at once", async (type) => {
  const seen: string[] = [];
  const port = Object.assign(new EventEmitter(), {
    postMessage(message: FromWorker) {
      seen.push(message.type);
      if (message.type === "closed") queueMicrotask(() => seen.push("what waited went on"));
    },
    close: () => undefined,
  });
  const device = { addEventListener: () => undefined };
  const gpu = {
    report: { kind: "hardware", name: "null" },
    lost: new Promise(() => undefined),
    device,
    destroy: () => seen.push("destroyed"),
  } as unknown as Gpu;
  const ended = new Promise<void>((resolve) => {
    const machine = {
      open: async () => ({ gpu, settled: async () => void seen.push("settled") }),
      onCrash: () => undefined,
      end() {
        seen.push("ended");
        setImmediate(resolve);
      },
    } as unknown as Machine;
    const pulses = { pulse: pulseMemory(), loadPulse: pulseMemory() };
    const data = { ...pulses, faults: [], loadLimitMs: { hardware: 1000, software: 1000 } };
    void serveDevice(port as unknown as MessagePort, data as unknown as ThreadData, machine);
  });
  await new Promise((resolve) => setImmediate(resolve));
  port.emit("message", { type });
  await ended;
  expect(seen).toEqual(["opened", "destroyed", "settled", "closed", "ended", "what waited went on"]);
});
