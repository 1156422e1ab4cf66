// Peers whose meetings somebody hears of: where tests make them fail.
import type { Peers } from "../../gpu/plan.ts";

/** `onSum` runs ahead of each take, or receipt; without it the peers are as they were. */
export function heard({ exchange, relay }: Peers, onSum: (() => Promise<void>) | undefined): Peers {
  if (!onSum) return { exchange, relay };
  return {
    exchange: exchange && {
      ...{ rank: exchange.rank, slice: exchange.slice, times: exchange.times },
      give: (values) => exchange.give(values),
      take: async (out) => {
        await onSum();
        await exchange.take(out);
      },
    },
    relay: relay && {
      send: (values, to) => relay.send(values, to),
      receive: async (out, from) => {
        await onSum();
        await relay.receive(out, from);
      },
    },
  };
}
