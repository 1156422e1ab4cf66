// The answers that clients may come back to, by id, in the store that the gateways share: responses, and messages of
// threads.

import type { Thread } from "../dialects/messages-thread.ts";
import type { Recalled } from "../dialects/responses-request.ts";
import { referredIds } from "../dialects/responses-request.ts";
import type { InputItem, ResponsesBody } from "../dialects/responses-body.ts";
import type { Stored } from "../dialects/responses-stored.ts";
import { itemsOf, responseOf } from "../dialects/responses-stored.ts";
import { GatewayError } from "../errors.ts";
import type { Store } from "../store/store.ts";

export const responsePrefix = "resp.";

export class StoredResponses {
  private readonly store: Store;
  private readonly ttlMs: number;
  private readonly prefix: string;

  constructor(store: Store, ttlMs: number, prefix = responsePrefix) {
    this.store = store;
    this.ttlMs = ttlMs;
    this.prefix = prefix;
  }

  /** Those of one caller (the id of a key); what others stored does not exist there. */
  of(caller: string | undefined): StoredResponses {
    if (caller === undefined) return this;
    return new StoredResponses(this.store, this.ttlMs, `${responsePrefix}${caller}.`);
  }

  async keep(stored: Stored): Promise<void> {
    await this.store.put(this.prefix + stored.response.id, JSON.stringify(stored), { ttlMs: this.ttlMs });
  }

  /** Throws response_not_found. */
  async get(id: string): Promise<Stored> {
    const stored = await this.find(id);
    if (stored) return stored;
    throw new GatewayError("response_not_found", `Response with id '${id.slice(0, 80)}' not found.`);
  }

  /** Throws response_not_found. */
  async delete(id: string): Promise<void> {
    if (isOwn(id) && (await this.store.delete(this.prefix + id))) return;
    throw new GatewayError("response_not_found", `Response with id '${id.slice(0, 80)}' not found.`);
  }

  async keepThread(messageId: string, thread: Thread): Promise<void> {
    await this.store.put(this.prefix + messageId, JSON.stringify(thread), { ttlMs: this.ttlMs });
  }

  /** The conversation up to a message; throws thread_not_found. */
  async thread(messageId: string): Promise<Thread> {
    const own = messageId.startsWith("msg_") && isOwn(messageId);
    const entry = own ? await this.store.get(this.prefix + messageId) : undefined;
    if (entry) return JSON.parse(entry.value) as Thread;
    const message = `Message with id '${messageId.slice(0, 80)}' is not, or no longer, held here.`;
    throw new GatewayError("thread_not_found", message, "thread.previous_message_id");
  }

  /** What a request refers to; throws previous_response_not_found. */
  async recall(body: ResponsesBody): Promise<Recalled & { affinity: string | undefined }> {
    const chain: Stored[] = [];
    for (let id = body.previous_response_id; id; id = chain[0]!.response.previous_response_id) {
      const stored = await this.find(id);
      if (!stored) throw lost(id);
      chain.unshift(stored);
    }
    const history = chain.flatMap(itemsOf);
    return { history, items: await this.referred(body), affinity: chain.at(-1)?.affinity };
  }

  private async referred(body: ResponsesBody): Promise<Map<string, InputItem>> {
    const ids = referredIds(body.input);
    const owners = new Set(ids.flatMap((id) => responseOf(id) ?? []));
    const stored = await Promise.all([...owners].map((id) => this.find(id)));
    const items = stored.flatMap((one) => (one ? itemsOf(one) : []));
    return new Map(items.flatMap((item) => (item.id ? [[item.id, item] as const] : [])));
  }

  private async find(id: string): Promise<Stored | undefined> {
    const entry = isOwn(id) ? await this.store.get(this.prefix + id) : undefined;
    return entry && (JSON.parse(entry.value) as Stored);
  }
}

/** An id with a dot in it would be somebody else's. */
function isOwn(id: string): boolean {
  return !id.includes(".");
}

function lost(id: string): GatewayError {
  return new GatewayError(
    "previous_response_not_found",
    `Previous response with id '${id.slice(0, 80)}' not found.`,
    "previous_response_id",
  );
}
