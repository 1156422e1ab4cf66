// By which way a model is spread where nobody says it: in parts of every layer and of the head, all devices read at once
// and meet twice a layer and twice for the draw; in runs of layers, one reads after the other and a token meets each once.

/** What decides it. */
export interface Figures {
  readonly devices: number;
  readonly layers: number;
  /** Reading the whole model once on one device, as for a token, ms. */
  readonly readMs: number;
  /** A sum over the devices of one token's hidden state, from device to device, ms. */
  readonly sumMs: number;
  /** Why the model cannot be spread by parts of layers, or by layers. */
  readonly not?: { readonly tensor?: string | undefined; readonly pipeline?: string | undefined };
}

export interface Choice {
  readonly by: "tensor" | "pipeline";
  /** For the log of a load, and for whoever asks how a model stands. */
  readonly why: string;
}

/** A token's time, ms. Neither a handover nor what a draw gathers is slower than a sum: their way is a part of a sum's. */
export function tokenMs(figures: Figures): Record<Choice["by"], number> {
  const { devices, readMs, sumMs } = figures;
  return { tensor: readMs / devices + meetingsOf(figures) * sumMs, pipeline: readMs + devices * sumMs };
}

function meetingsOf({ layers }: Figures): number {
  return 2 * layers + 2;
}

/** How a model is on several devices. */
export interface ModelSpread extends Choice {
  /** On each, where they are divided. */
  readonly layers?: readonly number[];
}

/** Undefined: there is no way. */
export function chooseSplit(figures: Figures): Choice | undefined {
  const { tensor, pipeline } = figures.not ?? {};
  if (tensor !== undefined && pipeline !== undefined) return undefined;
  if (tensor !== undefined) return { by: "pipeline", why: `layers are divided: ${tensor}` };
  const { devices, readMs, sumMs } = figures;
  const times = tokenMs(figures);
  if (pipeline !== undefined) return { by: "tensor", why: `every layer is shared: ${pipeline}` };
  const measured = `a sum over ${devices} devices takes ${milliseconds(sumMs)}, reading the model ${milliseconds(readMs)}`;
  const [parts, runs] = [milliseconds(times.tensor), milliseconds(times.pipeline)];
  const compared = `a token about ${parts} with ${meetingsOf(figures)} meetings, ${runs} with ${devices} handovers`;
  return times.tensor <= times.pipeline
    ? { by: "tensor", why: `every layer is shared: ${measured}; ${compared}` }
    : { by: "pipeline", why: `layers are divided: ${measured}; ${compared}` };
}

function milliseconds(ms: number): string {
  return `${ms < 10 ? ms.toFixed(2) : ms.toFixed(0)} ms`;
}
