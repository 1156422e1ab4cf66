// Where the devices of a model meet: memory that their threads share, of one kind or the other, and each one's seat.
import type { Peers } from "../gpu/pass.ts";
import { AllReduce, createMeeting, type Meeting, type Wire } from "./allReduce.ts";
import { createRing, SharedRelay, type Ring } from "./relay.ts";
import type { Split } from "./shares.ts";

/** Plain data that can cross to a worker. */
export type Table =
  { readonly by: "tensor"; readonly meeting: Meeting } | { readonly by: "pipeline"; readonly ring: Ring };

export interface TableOptions {
  by: Split["by"];
  ranks: number;
  /** Most values of one meeting: hidden size times most tokens of a run. */
  capacity: number;
  /** What sums are sent as; what is handed over is f32. */
  wire: Wire;
}

export function createTable({ by, ranks, capacity, wire }: TableOptions): Table {
  if (by === "pipeline") return { by, ring: createRing(ranks, capacity) };
  return { by, meeting: createMeeting({ ranks, capacity, wire }) };
}

/** One rank's. */
export interface Seat {
  readonly by: Split["by"];
  readonly peers: Peers;
  /** Lets all know that a rank, this one unless another is named, will not come again. */
  fail(rank?: number): void;
}

/** `limitMs`: how long another may be waited for. */
export function takeSeat(table: Table, rank: number, limitMs: number): Seat {
  if (table.by === "pipeline") {
    const relay = new SharedRelay(table.ring, rank, limitMs);
    return { by: table.by, peers: { relay }, fail: (failed) => relay.fail(failed) };
  }
  const exchange = new AllReduce(table.meeting, rank, limitMs);
  return { by: table.by, peers: { exchange }, fail: (failed) => exchange.fail(failed) };
}
