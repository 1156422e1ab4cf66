// The end of a turn: from the logits of its rows to what each wanted of them.
import type { Gpu } from "../../gpu/adapter.ts";
import { submitAlone, type Submit } from "../../gpu/readback.ts";
import type { DrawStart } from "../../ops/sample.ts";
import type { Outputs } from "../plans.ts";
import type { Outcome, Want } from "../runner.ts";

/** A row of logits: whose it is, and what is wanted of it. */
export interface Row {
  readonly slot: number;
  readonly want: Want;
}

/** Logits that are on their way; none on a device that has not the model's end. */
export interface Ran {
  readonly outputs: Outputs | undefined;
  readonly rows: readonly Row[];
}

export interface Drawing {
  /** As TurnTaker.start. */
  start(slot: number, start: DrawStart): void;
  /** A token was drawn in a slot, on the device that leads. */
  drew(slot: number, id: number): void;
  /** Of each row of the runs, one behind another; resolves when the device is done. */
  outcomes(runs: readonly Ran[]): Promise<Outcome[]>;
}

/** Where a row lies. */
export interface PlacedRow extends Row {
  readonly outputs: Outputs | undefined;
  /** Of the run's logits. */
  readonly at: number;
}

export function placed(runs: readonly Ran[]): PlacedRow[] {
  return runs.flatMap(({ outputs, rows }) => rows.map(({ slot, want }, at) => ({ slot, want, outputs, at })));
}

export function draws(want: Want): boolean {
  return want !== "nothing" && want !== "logits";
}

export function candidatesOf(want: Want): number | undefined {
  return typeof want === "object" ? want.candidates : undefined;
}

/** Draws for all runs that want it, and submits `last` with the last of them. */
export function submitDraws(gpu: Gpu, runs: readonly Ran[], last: Parameters<Submit>[0]): void {
  const drawing = runs.flatMap(({ outputs, rows }) =>
    outputs && rows.some(({ want }) => draws(want)) ? [{ draw: outputs.draw, tokens: rows.length }] : [],
  );
  const final = drawing.pop();
  for (const { draw, tokens } of drawing) draw.submit(tokens);
  if (final) final.draw.submit(final.tokens, Infinity, last);
  else submitAlone(gpu, last);
}
