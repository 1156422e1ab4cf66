// Responses that were stored: what is kept of them, how a later request recalls them, and how they are listed.

import type { InputItem, ResponsesBody } from "./responses-body.ts";
import { inputItems } from "./responses-request.ts";
import type { Response } from "./responses-answer.ts";

export interface Stored {
  response: Response;
  /** What this one was asked, without what came before. */
  input: InputItem[];
  /** By which the conversation finds its neuron again. */
  affinity: string;
}

/** `known` are the items that the input refers to; they are kept in place of the references. */
export function toStored(
  { body, affinity }: { body: ResponsesBody; affinity: string },
  known: ReadonlyMap<string, InputItem>,
  response: Response,
): Stored {
  const hex = response.id.slice("resp_".length);
  const items = inputItems(body.input).map((item) => known.get(item.id ?? "") ?? item);
  const input = items.map((item, i) => ({
    ...item,
    type: item.type ?? "message",
    id: item.id ?? `${prefixes[item.type ?? "message"] ?? "item"}_${hex}_in${i}`,
  }));
  return { response, input, affinity };
}

const prefixes: Readonly<Record<string, string>> = {
  message: "msg",
  function_call: "fc",
  function_call_output: "fco",
  reasoning: "rs",
};

/** The response to which an item belongs: ids of items are made of its id. */
export function responseOf(itemId: string): string | undefined {
  const hex = /^[a-z]+_([0-9a-f]{32})_(in)?\d+$/.exec(itemId)?.[1];
  return hex === undefined ? undefined : `resp_${hex}`;
}

/** All that was said in one response's turn. */
export function itemsOf({ input, response }: Stored): InputItem[] {
  return [...input, ...response.output];
}

export interface ListQuery {
  limit: number;
  order: "asc" | "desc";
  after: string | undefined;
}

export function listItems({ input }: Stored, { limit, order, after }: ListQuery): object {
  const all = order === "asc" ? input : [...input].reverse();
  const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1;
  const data = all.slice(from, from + limit);
  return {
    ...{ object: "list", data, has_more: from + data.length < all.length },
    ...{ first_id: data[0]?.id ?? null, last_id: data.at(-1)?.id ?? null },
  };
}
