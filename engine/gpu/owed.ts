// What Dawn owes this thread. Where a thread ends while a promise of Dawn's is open, Dawn takes the whole process along:
// so before it ends nothing more is asked of Dawn, and what was asked is waited for.

/** The calls of dawn.node that answer later, by the class that has them. */
const calls: Readonly<Record<string, readonly string[]>> = {
  GPUBuffer: ["mapAsync"],
  GPUQueue: ["onSubmittedWorkDone"],
  GPUDevice: ["createComputePipelineAsync", "popErrorScope"],
  GPUShaderModule: ["getCompilationInfo"],
};

type Call = (this: unknown, ...given: unknown[]) => Promise<unknown>;

export class Owed {
  #open = 0;
  #closed = false;
  #whenNone: (() => void) | undefined;

  /** Counts every call from now on. Once a thread, when Dawn is loaded. */
  constructor(classes: Record<string, unknown> = globalThis) {
    for (const [name, methods] of Object.entries(calls)) {
      const { prototype } = classes[name] as { prototype: Record<string, Call> };
      for (const method of methods) prototype[method] = this.#counted(prototype[method]!);
    }
  }

  /** From now on every call is refused; resolves when all that were made before have their answers. */
  async settled(): Promise<void> {
    this.#closed = true;
    if (this.#open > 0) await new Promise<void>((resolve) => (this.#whenNone = resolve));
  }

  #counted(call: Call): Call {
    const begin = () => this.#begin();
    const end = () => this.#end();
    return function (...given) {
      if (!begin()) return Promise.reject(new Error("nothing is asked of a device that is given up"));
      const answer = call.apply(this, given);
      answer.then(end, end);
      return answer;
    };
  }

  #begin(): boolean {
    if (this.#closed) return false;
    this.#open += 1;
    return true;
  }

  #end(): void {
    this.#open -= 1;
    if (this.#open === 0) this.#whenNone?.();
  }
}
