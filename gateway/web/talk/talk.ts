// What the user does in a conversation: ask, stop, ask anew, edit. An answer goes on while another conversation is
// looked at, and whatever had come of it is kept when it breaks.

import type { AssistantMessage, Conversation } from "../keep/conversation.ts";
import { append, pathOf, pathTo, withMessage } from "../keep/conversation.ts";
import { conversationCalled, keep, pictures, show, streaming } from "../keep/chats.ts";
import type { Picture } from "../keep/database.ts";
import { newId } from "../keep/id.ts";
import { modelFor } from "../fleet/poll.ts";
import { spoken } from "../notice.ts";
import { emptyAnswer, ServerError, withChunk } from "./answer.ts";
import { toBody } from "./request.ts";
import { stream } from "./stream.ts";

/** Milliseconds: an answer is drawn this often at most, and kept this often while it comes. */
const drawEvery = 40;
const keepEvery = 1000;

/** A question at the end of what is shown. */
export function ask(conversation: Conversation, text: string, added: readonly Picture[]): void {
  const parent = pathOf(conversation).at(-1)?.id ?? "";
  say(conversation, parent, { text, added });
}

/** A question in another one's place, with that one's pictures. */
export function edit(conversation: Conversation, id: string, text: string): void {
  const { parent, message } = conversation.nodes[id]!;
  say(conversation, parent, { text, images: message.role === "user" ? message.images : [] });
}

/** Another answer in a message's place. */
export function regenerate(conversation: Conversation, id: string): void {
  void answer(conversation, conversation.nodes[id]!.parent);
}

/** What the tools of an answer gave, in the order of its calls; then its next answer. */
export function giveResults(conversation: Conversation, id: string, results: readonly string[]): void {
  const { message } = conversation.nodes[id]!;
  if (message.role !== "assistant") return;
  let [whole, parent] = [conversation, id];
  results.forEach((text, i) => {
    const node = {
      id: newId(),
      parent,
      message: { role: "tool" as const, callId: message.calls[i]!.id, text },
    };
    [whole, parent] = [append(whole, node, Date.now()), node.id];
  });
  void answer(whole, parent);
}

export function stop(id: string): void {
  streaming.value.get(id)?.abort();
}

interface Said {
  text: string;
  added?: readonly Picture[];
  images?: readonly string[];
}

function say(conversation: Conversation, parent: string, { text, added = [], images = [] }: Said): void {
  if (streaming.value.has(conversation.id)) return;
  const ids = [...images, ...added.map((picture) => picture.id)];
  const node = { id: newId(), parent, message: { role: "user" as const, text, images: ids } };
  const asked = append(conversation, node, Date.now());
  void keep(asked, added);
  void answer(asked, node.id);
}

async function answer(conversation: Conversation, parent: string): Promise<void> {
  const { id, settings } = conversation;
  if (streaming.value.has(id)) return;
  const model = modelFor(conversation) ?? "";
  const node = { id: newId(), parent, message: emptyAnswer(model) };
  const stopping = new AbortController();
  streaming.value = new Map(streaming.value).set(id, stopping);
  void keep(append({ ...conversation, settings: { ...settings, model } }, node, Date.now()));
  const last = await received(conversation, node, stopping.signal);
  const now = conversationCalled(id);
  if (now) await keep({ ...withMessage(now, node.id, last), updatedAt: Date.now() });
  // Only now: whoever sees that the answer has ended may close the page.
  streaming.value = new Map([...streaming.value].filter(([key]) => key !== id));
  // A failure is shown as an alert, which is read out by itself.
  if (last.state !== "failed") spoken.value = last.state === "done" ? "The answer is complete." : "Stopped.";
}

/** The answer at its end, whichever end that was; drawn and kept on the way. */
async function received(
  conversation: Conversation,
  node: { id: string; parent: string; message: AssistantMessage },
  signal: AbortSignal,
): Promise<AssistantMessage> {
  const startedAt = performance.now();
  const took = () => performance.now() - startedAt;
  let message = node.message;
  const draw = paced(() => {
    const now = conversationCalled(conversation.id);
    if (now) show(withMessage(now, node.id, message));
  }, drawEvery);
  const save = paced(() => {
    const now = conversationCalled(conversation.id);
    if (now) void keep(withMessage(now, node.id, message));
  }, keepEvery);
  try {
    const messages = pathTo(conversation, node.parent).map((before) => before.message);
    const urls = new Map([...pictures.value].map(([key, { url }]) => [key, url]));
    for await (const chunk of stream(toBody(messages, conversation.settings, message.model, urls), signal)) {
      message = withChunk(message, chunk, took());
      draw.soon();
      save.soon();
    }
    return { ...message, state: "done", timings: { ...message.timings, total: took() } };
  } catch (error) {
    const timings = { ...message.timings, total: took() };
    if (signal.aborted) return { ...message, state: "stopped", timings };
    const { message: words } = error as Error;
    const code = error instanceof ServerError ? error.code : undefined;
    return {
      ...message,
      state: "failed",
      timings,
      error: { message: words, ...(code !== undefined && { code }) },
    };
  } finally {
    draw.cancel();
    save.cancel();
  }
}

/** Calls `act` at most once in `ms`, a while after it was asked for. */
function paced(act: () => void, ms: number) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    soon() {
      timer ??= setTimeout(() => {
        timer = undefined;
        act();
      }, ms);
    },
    cancel: () => clearTimeout(timer),
  };
}
