// What every block of a layer needs to know of it.
import type { ModelConfig } from "./config.ts";

export function normOf(c: ModelConfig): { eps: number; offset: 0 | 1 } {
  return { eps: c.eps, offset: c.normOffset };
}

/** The name under which the reference's goldens store a layer's values: `layer.3`. */
export function keptName(at: string): string {
  return `layer.${/layers\.(\d+)\.$/.exec(at)?.[1]}`;
}
