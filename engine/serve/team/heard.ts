// Peers whose meetings somebody hears of: where tests make them fail.
import type { Peers } from "../../gpu/pass.ts";

/** `onSum` runs ahead of each take, gathering or receipt; without it the peers are as they were. */
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
      gather: async (own, lengths) => {
        await onSum();
        return exchange.gather(own, lengths);
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
