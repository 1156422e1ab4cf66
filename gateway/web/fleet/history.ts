// What the plots show: the differences between one reading of the fleet and the next. Pure.

import type { FleetReport } from "../../fleet/protocol.ts";

/** One reading, of the whole fleet. */
export interface Sample {
  /** Date.now(). */
  at: number;
  /** Of the gateway: less than before means that it began anew, and its counts with it. */
  uptimeS: number;
  tokens: number;
  firstTokens: number;
  firstTokenSecs: number;
  inFlight: number;
  queued: number;
}

/** A value at a time; undefined where there was nothing to measure. */
export interface Point {
  at: number;
  value: number | undefined;
}

/** How far the plots look back, in ms, once there is so much to see. */
export const span = 5 * 60_000;
const leastSpan = 60_000;

/** How far they look back at these points. */
export function spanOf(points: readonly Point[]): number {
  const times = points.map(({ at }) => at);
  const known = Math.max(0, ...times) - Math.min(...times);
  return Math.min(span, Math.max(leastSpan, known));
}

export function sampleOf(report: FleetReport, at: number): Sample {
  const placed = report.neurons.flatMap((neuron) => neuron.models);
  const { traffic } = report;
  return {
    ...{ at, uptimeS: report.uptime_secs },
    tokens: sum(traffic.map((flow) => flow.tokens)),
    firstTokens: sum(traffic.map((flow) => flow.first_tokens)),
    firstTokenSecs: sum(traffic.map((flow) => flow.first_token_secs)),
    inFlight: sum(placed.map((model) => model.in_flight)),
    queued: sum(placed.map((model) => model.queue_depth)),
  };
}

/** The samples with one more and without those that are too old to show. */
export function remember(samples: readonly Sample[], sample: Sample): Sample[] {
  return [...samples.filter(({ at }) => at >= sample.at - span), sample];
}

/** Tokens a second between each two readings. */
export function speeds(samples: readonly Sample[]): Point[] {
  return steps(samples, (before, after) => {
    // An answer's end replaces the count of its pieces by that of its tokens, which may be one or two fewer.
    const tokens = Math.max(0, after.tokens - before.tokens);
    return (1000 * tokens) / (after.at - before.at);
  });
}

/** Seconds to the first token, averaged over the streams that began to speak between two readings. */
export function firstTokens(samples: readonly Sample[]): Point[] {
  return steps(samples, (before, after) => {
    const count = after.firstTokens - before.firstTokens;
    return count > 0 ? (after.firstTokenSecs - before.firstTokenSecs) / count : undefined;
  });
}

export function counts(samples: readonly Sample[], key: "inFlight" | "queued"): Point[] {
  return samples.map((sample) => ({ at: sample.at, value: sample[key] }));
}

function steps(
  samples: readonly Sample[],
  value: (before: Sample, after: Sample) => number | undefined,
): Point[] {
  return samples.slice(1).map((after, i) => {
    const before = samples[i]!;
    const same = after.uptimeS >= before.uptimeS && after.at > before.at;
    return { at: after.at, value: same ? value(before, after) : undefined };
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
