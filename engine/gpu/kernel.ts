// From a kernel's name to a compiled pipeline. A kernel is shaders/NAME.wgsl, joined behind the parts it uses
// (how a weight format is read, how a workgroup reduces); the entry point has the file's own name. Pipelines are
// compiled once per (parts, constants) and in parallel; a failure reports the compiler's lines with the source.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../root.ts";
import type { Gpu } from "./adapter.ts";
import { holdOf, pinOf, type Hold } from "./subgroups.ts";

export interface KernelRequest {
  /** shaders/NAME.wgsl; the entry point is the last path segment. */
  readonly name: string;
  /** Files joined ahead of it, in order, without ".wgsl". */
  readonly parts: readonly string[];
  /** WGSL overrides: what is fixed while a model is loaded. */
  readonly constants: Readonly<Record<string, number>>;
}

const sources = new Map<string, string>();

/** The text of one file under shaders/, read once. */
function shaderSource(name: string): string {
  let text = sources.get(name);
  if (text === undefined) {
    text = readFileSync(join(packageRoot, "shaders", `${name}.wgsl`), "utf8");
    sources.set(name, text);
  }
  return text;
}

/** Parts and kernel as one module; directives (`enable …`) must lead a module, so they are moved to its top. */
export function joinSources(files: readonly string[]): string {
  const lines = files.flatMap((file) => [`// ── ${file}.wgsl`, ...shaderSource(file).split("\n")]);
  const directive = /^\s*(enable|requires|diagnostic)\b.*;/;
  const directives = [...new Set(lines.filter((line) => directive.test(line)))];
  return [...directives, ...lines.filter((line) => !directive.test(line))].join("\n");
}

/** The kernel of a module as one whose subgroups have the lanes that `hold` says; as it is where that says nothing. */
export function held(kernel: string, code: string, hold: Hold): string {
  const usesThem = /^enable subgroups;/m.test(code);
  const width = hold(kernel, usesThem);
  if (width === undefined) return code;
  const [before, after, ...more] = code.split("@compute ");
  if (after === undefined || more.length > 0) throw new Error("a module has one kernel");
  const enable = `${usesThem ? "" : "enable subgroups;\n"}enable subgroup_size_control;\n`;
  return `${enable}${before}@subgroup_size(${width}u) @compute ${after}`;
}

class Kernels {
  readonly #device: GPUDevice;
  readonly #hold: Hold;
  readonly #pipelines = new Map<string, Promise<GPUComputePipeline>>();
  readonly #modules = new Map<string, Promise<GPUShaderModule>>();
  /** What is under way, by its key, as a message would call it; the first one first. */
  readonly #compiling = new Map<string, string>();
  #compiled = 0;

  constructor(device: GPUDevice, hold: Hold) {
    this.#device = device;
    this.#hold = hold;
  }

  /** How many compiled so far, and the one that has been compiling for longest. */
  get progress(): { compiled: number; compiling: string | undefined } {
    return { compiled: this.#compiled, compiling: this.#compiling.values().next().value };
  }

  /** Whoever asks for what is under way now will have it compiled anew. */
  forgetUnfinished(): void {
    for (const key of this.#compiling.keys()) this.#pipelines.delete(key);
    this.#compiling.clear();
  }

  /** The pipeline for a kernel; equal requests share one. */
  pipeline(request: KernelRequest): Promise<GPUComputePipeline> {
    const key = JSON.stringify([request.name, request.parts, request.constants]);
    let pipeline = this.#pipelines.get(key);
    if (!pipeline) {
      this.#compiling.set(key, `${request.name} [${request.parts.join(", ")}]`);
      pipeline = this.#compile(request).finally(() => {
        this.#compiling.delete(key);
        this.#compiled += 1;
      });
      this.#pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  async #compile({ name, parts, constants }: KernelRequest): Promise<GPUComputePipeline> {
    const module = await this.#module([...parts, name]);
    const entryPoint = name.slice(name.lastIndexOf("/") + 1);
    try {
      return await this.#device.createComputePipelineAsync({
        label: name,
        layout: "auto",
        compute: { module, entryPoint, constants },
      });
    } catch (cause) {
      const text = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`kernel ${name} [${parts.join(", ")}] ${JSON.stringify(constants)}: ${text}`, {
        cause,
      });
    }
  }

  #module(files: readonly string[]): Promise<GPUShaderModule> {
    const key = files.join("+");
    let module = this.#modules.get(key);
    if (!module) {
      module = this.#createModule(files);
      this.#modules.set(key, module);
    }
    return module;
  }

  async #createModule(files: readonly string[]): Promise<GPUShaderModule> {
    const code = held(files.at(-1)!, joinSources(files), this.#hold);
    const device = this.#device;
    device.pushErrorScope("validation");
    const module = device.createShaderModule({ label: files.at(-1)!, code });
    const scope = await device.popErrorScope();
    const info = await module.getCompilationInfo();
    const errors = info.messages.filter((message) => message.type === "error");
    if (errors.length > 0 || scope) throw new Error(compileError(files, code, errors, scope?.message));
    return module;
  }
}

function compileError(
  files: readonly string[],
  code: string,
  messages: readonly GPUCompilationMessage[],
  scope: string | undefined,
): string {
  const lines = code.split("\n");
  const shown = messages.map(
    ({ lineNum, linePos, message }) => `  ${lineNum}:${linePos} ${message}\n    ${lines[lineNum - 1] ?? ""}`,
  );
  return `${files.join(" + ")} does not compile\n${shown.length > 0 ? shown.join("\n") : scope}`;
}

const perDevice = new WeakMap<GPUDevice, Map<number | undefined, Kernels>>();

/**
 * The pipeline cache of a device. Of what kernels are held to only the width may change while it is open (probe.ts gives it
 * up where it is not true); vendor and least lanes, on which the rest hangs, are the adapter's.
 */
export function kernelsOf(gpu: Pick<Gpu, "device" | "has" | "subgroupSize" | "report">): Kernels {
  const byPin = perDevice.get(gpu.device) ?? new Map<number | undefined, Kernels>();
  perDevice.set(gpu.device, byPin);
  const pin = pinOf(gpu);
  let kernels = byPin.get(pin);
  if (!kernels) byPin.set(pin, (kernels = new Kernels(gpu.device, holdOf(gpu))));
  return kernels;
}
