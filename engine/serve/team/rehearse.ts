// What a team's devices take to meet, measured once for as long as the one that leads lives.
import type { Gpu } from "../../gpu/adapter.ts";
import { rehearseReading, rehearseSum } from "../../parallel/rehearsal.ts";
import { createTable, takeSeat } from "../../parallel/table.ts";
import type { Followers } from "./followers.ts";
import type { TeamSettings } from "./gather.ts";
import type { Rehearsed } from "./split.ts";
import { together } from "./together.ts";

/** By the devices and the width. */
const known = new Map<string, Rehearsed>();

/** Errors: device_lost. */
export async function rehearse(
  gpu: Gpu,
  followers: Followers,
  { places, wire, limitMs }: TeamSettings,
  hidden: number,
): Promise<Rehearsed> {
  const key = `${hidden} on ${places.map(({ report }) => report.index).join(", ")} in ${wire}`;
  const before = known.get(key);
  if (before) return before;
  const table = createTable({ by: "tensor", ranks: places.length, capacity: hidden, wire });
  const seat = takeSeat(table, 0, limitMs);
  const own = rehearseSum(gpu, seat.peers.exchange!, hidden);
  const others = followers.askEach((rank) => ({ type: "rehearse", table, rank, limitMs, hidden }));
  await together([own, ...others], (rank) => seat.fail(rank));
  const rehearsed = { sumMs: await own, bytesPerSecond: await rehearseReading(gpu) };
  known.set(key, rehearsed);
  return rehearsed;
}
