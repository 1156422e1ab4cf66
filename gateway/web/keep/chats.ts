// The conversations of this page: those that are open, the list of all, and how they get into the browser's database
// and out of it. Two pages of one browser tell each other what they have changed.

import { computed, signal } from "@preact/signals";
import { notify } from "../notice.ts";
import { go, route } from "../shell.ts";
import type { Conversation, Settings } from "./conversation.ts";
import { imagesOf, newConversation, rename as renamed, settled } from "./conversation.ts";
import type { Keeper, Picture, Summary } from "./database.ts";
import { inMemory, newestFirst, openKeeper, summaryOf } from "./database.ts";
import { newId } from "./id.ts";
import { lastSettings, rememberSettings } from "./preferences.ts";
import { fromFile, incoming, toFile } from "./transfer.ts";

export const summaries = signal<readonly Summary[]>([]);
/** By id; pictures of the conversations that are open. */
export const pictures = signal<ReadonlyMap<string, Picture>>(new Map());
/** The answers that are coming, by conversation. */
export const streaming = signal<ReadonlyMap<string, AbortController>>(new Map());

const open = signal<ReadonlyMap<string, Conversation>>(new Map());
/** The one that has no message yet, and is nowhere kept. */
const fresh = signal(begin());
const ready = signal(false);
const channel = new BroadcastChannel("cortex");
let keeper: Keeper = inMemory();

/** The one that is shown; undefined while it is being read. */
export const current = computed<Conversation | undefined>(() => {
  if (route.value.view !== "chat") return undefined;
  const { id } = route.value;
  return id === undefined ? fresh.value : open.value.get(id);
});

export async function openChats(): Promise<void> {
  keeper = await openKeeper();
  summaries.value = await keeper.list();
  if (!keeper.lasting)
    notify("This browser keeps no data for this page: conversations last until it is closed.");
  ready.value = true;
  channel.onmessage = ({ data }: MessageEvent<string>) => void changedElsewhere(data);
}

/** Reads the conversation of the route, when it is not there yet; to be called whenever the route changes. */
export async function openShown(): Promise<void> {
  const here = route.value;
  if (!ready.value || here.view !== "chat" || here.id === undefined || open.value.has(here.id)) return;
  const conversation = await keeper.conversation(here.id);
  if (conversation) await take(settled(conversation));
  else if (route.value === here) {
    notify("This conversation is not in this browser.");
    go("#/", { instead: true });
  }
}

export function conversationCalled(id: string): Conversation | undefined {
  return fresh.value.id === id ? fresh.value : open.value.get(id);
}

/** Changes an open conversation in view only. */
export function show(conversation: Conversation): void {
  if (fresh.value.id === conversation.id) fresh.value = conversation;
  else open.value = new Map(open.value).set(conversation.id, conversation);
}

/** Changes an open conversation for good: in view at once, and in the database when the promise is kept. */
export async function keep(conversation: Conversation, added: readonly Picture[] = []): Promise<void> {
  const { id } = conversation;
  if (added.length > 0) hold(added);
  if (fresh.value.id === id && Object.keys(conversation.nodes).length > 0) {
    fresh.value = begin();
    open.value = new Map(open.value).set(id, conversation);
    if (route.value.view === "chat" && route.value.id === undefined) go(`#/chat/${id}`, { instead: true });
  } else show(conversation);
  if (fresh.value.id !== id) await save(conversation, added);
}

export function setSettings(conversation: Conversation, settings: Settings): void {
  rememberSettings(settings);
  void keep({ ...conversation, settings });
}

/** An empty conversation with the settings used last. */
export function newChat(): void {
  fresh.value = begin();
  go("#/");
}

export async function rename(id: string, title: string): Promise<void> {
  const conversation = open.value.get(id) ?? (await keeper.conversation(id));
  if (!conversation) return;
  const named = renamed(conversation, title);
  if (open.value.has(id)) show(named);
  await save(named);
}

export async function remove(id: string): Promise<void> {
  streaming.value.get(id)?.abort();
  open.value = new Map([...open.value].filter(([key]) => key !== id));
  if (route.value.view === "chat" && route.value.id === id) newChat();
  await keeper.remove(id);
  // Only now: whoever sees that it has gone may close the page.
  summaries.value = summaries.value.filter((summary) => summary.id !== id);
  channel.postMessage(id);
}

/** Those conversations as the text of a file. */
export async function exported(ids: readonly string[]): Promise<string> {
  const found = await Promise.all(ids.map((id) => open.value.get(id) ?? keeper.conversation(id)));
  const conversations = found.filter((conversation) => conversation !== undefined);
  const images = await keeper.pictures(conversations.flatMap(imagesOf));
  return toFile({ conversations, pictures: images }, new Date());
}

/** Takes in what a file holds and says how much that was; throws when it is not one of ours. */
export async function importFrom(text: string): Promise<string> {
  const bundle = fromFile(text);
  const known = new Map(summaries.value.map(({ id, updatedAt }) => [id, updatedAt]));
  const added = incoming(bundle, known, newId);
  for (const conversation of added.conversations) {
    const ids = new Set(imagesOf(conversation));
    await save(
      conversation,
      added.pictures.filter(({ id }) => ids.has(id)),
    );
  }
  const [count, there] = [
    added.conversations.length,
    bundle.conversations.length - added.conversations.length,
  ];
  return `${count} imported${there > 0 ? `, ${there} already here` : ""}.`;
}

function begin(): Conversation {
  return newConversation(newId(), lastSettings(), Date.now());
}

async function take(conversation: Conversation): Promise<void> {
  hold(await keeper.pictures(imagesOf(conversation)));
  open.value = new Map(open.value).set(conversation.id, conversation);
}

function hold(added: readonly Picture[]): void {
  pictures.value = new Map([...pictures.value, ...added.map((picture) => [picture.id, picture] as const)]);
}

async function save(conversation: Conversation, added: readonly Picture[] = []): Promise<void> {
  const { id } = conversation;
  const others = summaries.value.filter((summary) => summary.id !== id);
  summaries.value = newestFirst([summaryOf(conversation), ...others]);
  try {
    await keeper.save(conversation, added);
    channel.postMessage(id);
  } catch (error) {
    const full = error instanceof DOMException && error.name === "QuotaExceededError";
    notify(
      full
        ? "The browser's storage is full: export and delete some conversations."
        : `This conversation could not be kept: ${(error as Error).message}`,
    );
  }
}

/** Another page has changed or removed a conversation: an answer that is coming here has precedence. */
async function changedElsewhere(id: string): Promise<void> {
  summaries.value = await keeper.list();
  if (!open.value.has(id) || streaming.value.has(id)) return;
  const conversation = await keeper.conversation(id);
  if (conversation) await take(conversation);
}
