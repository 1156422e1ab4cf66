// Faults on purpose, for tests: what a driver does once in a month happens at the step that the test names. Nothing of
// it runs unless EngineOptions.faults (the daemon: NEURON_FAULTS) is set; no setting of a file reaches it.
//
//   lost@decode:5 crash@decode:9#2 hang@prefill:2* crash@sum:9/1
//
// KIND@POINT:N does KIND the N-th time (default: first) that POINT is reached; with /R behind it on the device at place R
// of the engine's devices (default: 0). The threads of the devices are started anew after most of them: #2 is a fault of
// their second life, * one of every life, others are of the first.
import { EngineError } from "../errors.ts";

/**
 * lost: the device is destroyed while it computes. hang: what was begun never ends. stuck: nor does the thread ever hear
 * anything again. crash: an exception that nobody catches. bug: an exception in the step. memory: no memory is left.
 */
const kinds = ["lost", "hang", "stuck", "crash", "bug", "memory"] as const;
/**
 * In a load: read, a piece of the checkpoint; compile, a kernel; upload, a wait for the queue; load, when all is there.
 * sum: a device takes a sum over devices.
 */
const points = ["read", "compile", "upload", "load", "prefill", "decode", "sum"] as const;
/** What can happen in the midst of a load, where each is a wait. */
const waits: readonly FaultPoint[] = ["read", "compile", "upload"];

export type FaultKind = (typeof kinds)[number];
export type FaultPoint = (typeof points)[number];

export interface Fault {
  kind: FaultKind;
  point: FaultPoint;
  at: number;
  /** Which of the engine's devices. */
  place: number;
  /** Of the threads; undefined: every one. */
  life: number | undefined;
}

/** Errors: bad_config with the text that is no fault. */
export function parseFaults(text: string): Fault[] {
  return text
    .split(/[\s,]+/)
    .filter((word) => word !== "")
    .map((word) => {
      const form = /^(\w+)@(\w+)(?::([1-9]\d*))?(?:\/(\d+))?(\*|#[1-9]\d*)?$/;
      const [, kind, point, at = "1", place = "0", when = "#1"] = form.exec(word) ?? [];
      const isKnown = kinds.includes(kind as FaultKind) && points.includes(point as FaultPoint);
      const fits = waits.includes(point as FaultPoint)
        ? kind === "hang"
        : kind !== "hang" || point !== "load";
      if (!isKnown || !fits) {
        const known = `KIND@POINT[:N][/PLACE][#LIFE or *] with ${kinds.join(", ")} at ${points.join(", ")}`;
        const but = `(only hang at ${waits.join(", ")}; all but hang at load)`;
        throw new EngineError("bad_config", `faults: "${word}" is not ${known} ${but}`);
      }
      const life = when === "*" ? undefined : Number(when.slice(1));
      return { kind, point, at: Number(at), place: Number(place), life } as Fault;
    });
}

/** Those of a life of the threads; the first is 1. */
export function faultsOfLife(faults: readonly Fault[], life: number): Fault[] {
  return faults.filter((fault) => fault.life === undefined || fault.life === life);
}

/** What can be made to fail. */
export interface FaultTarget {
  destroyDevice(): void;
  /** An exception that nobody catches. */
  crash(error: Error): void;
  /** From now on no step of the model ends. */
  hang(): void;
}

export class Faults {
  readonly #faults: readonly Fault[];
  readonly #reached = new Map<FaultPoint, number>();

  constructor(faults: readonly Fault[] = []) {
    this.#faults = faults;
  }

  /** Counts a wait of a load; resolves at once, or never. */
  async pass(point: FaultPoint): Promise<void> {
    let hangs = false;
    const nothing = () => undefined; // parseFaults lets nothing but hangs be here
    this.reach(point, { destroyDevice: nothing, crash: nothing, hang: () => (hangs = true) });
    if (hangs) await new Promise(() => undefined);
  }

  /** Makes the device's own waits pass here. */
  obstruct(device: GPUDevice): void {
    const { queue } = device;
    const compile = device.createComputePipelineAsync.bind(device);
    const wait = queue.onSubmittedWorkDone.bind(queue);
    device.createComputePipelineAsync = async (kernel) => {
      await this.pass("compile");
      return compile(kernel);
    };
    queue.onSubmittedWorkDone = async () => {
      await this.pass("upload");
      return wait();
    };
  }

  /** Counts the point, and does what is due there. Throws for bug and memory. */
  reach(point: FaultPoint, target: FaultTarget): void {
    const count = (this.#reached.get(point) ?? 0) + 1;
    this.#reached.set(point, count);
    for (const fault of this.#faults)
      if (fault.point === point && fault.at === count) act(fault.kind, target);
  }
}

function act(kind: FaultKind, target: FaultTarget): void {
  switch (kind) {
    case "lost":
      queueMicrotask(() => target.destroyDevice()); // the step's commands are submitted by then
      return;
    case "hang":
      target.hang();
      return;
    case "stuck":
      queueMicrotask(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
      return;
    case "crash":
      target.crash(new Error("an injected crash"));
      return;
    case "bug":
      throw new Error("an injected bug");
    case "memory":
      throw new EngineError("out_of_memory", "an injected want of memory");
    default:
      kind satisfies never;
  }
}
