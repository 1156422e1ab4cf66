// Conversations and pictures in the browser's IndexedDB; the list's few words of each beside them, so that the list is
// there without reading them all. Where a browser has no database, or refuses it, all is kept until the page closes.

import type { DBSchema, IDBPDatabase } from "idb";
import { openDB } from "idb";
import type { Conversation } from "./conversation.ts";
import { imagesOf } from "./conversation.ts";

export type Summary = Pick<Conversation, "id" | "title" | "updatedAt">;

export interface Picture {
  id: string;
  name: string;
  /** data:image/…;base64,… */
  url: string;
  width: number;
  height: number;
}

export interface Keeper {
  /** False: what is kept is gone with the page. */
  lasting: boolean;
  /** The newest first. */
  list(): Promise<Summary[]>;
  conversation(id: string): Promise<Conversation | undefined>;
  /** Those that are there. */
  pictures(ids: readonly string[]): Promise<Picture[]>;
  save(conversation: Conversation, pictures?: readonly Picture[]): Promise<void>;
  /** With its pictures. */
  remove(id: string): Promise<void>;
}

interface Schema extends DBSchema {
  conversations: { key: string; value: Conversation };
  summaries: { key: string; value: Summary };
  pictures: { key: string; value: Picture };
}

export async function openKeeper(): Promise<Keeper> {
  try {
    const database = await openDB<Schema>("cortex", 1, {
      upgrade(fresh) {
        for (const store of ["conversations", "summaries", "pictures"] as const)
          fresh.createObjectStore(store, { keyPath: "id" });
      },
      // A newer page in another tab wants the database: this one lets go and reads no more.
      blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
    });
    return inDatabase(database);
  } catch {
    return inMemory();
  }
}

function inDatabase(database: IDBPDatabase<Schema>): Keeper {
  const everything = ["conversations", "summaries", "pictures"] as const;
  return {
    lasting: true,
    list: async () => newestFirst(await database.getAll("summaries")),
    conversation: (id) => database.get("conversations", id),
    pictures: async (ids) => there(await Promise.all(ids.map((id) => database.get("pictures", id)))),
    async save(conversation, pictures = []) {
      const change = database.transaction(everything, "readwrite");
      await Promise.all([
        change.objectStore("conversations").put(conversation),
        change.objectStore("summaries").put(summaryOf(conversation)),
        ...pictures.map((picture) => change.objectStore("pictures").put(picture)),
        change.done,
      ]);
    },
    async remove(id) {
      const change = database.transaction(everything, "readwrite");
      const conversation = await change.objectStore("conversations").get(id);
      await Promise.all([
        change.objectStore("conversations").delete(id),
        change.objectStore("summaries").delete(id),
        ...(conversation ? imagesOf(conversation) : []).map((picture) =>
          change.objectStore("pictures").delete(picture),
        ),
        change.done,
      ]);
    },
  };
}

export function inMemory(): Keeper {
  const conversations = new Map<string, Conversation>();
  const kept = new Map<string, Picture>();
  return {
    lasting: false,
    list: async () => newestFirst([...conversations.values()].map(summaryOf)),
    conversation: async (id) => conversations.get(id),
    pictures: async (ids) => there(ids.map((id) => kept.get(id))),
    async save(conversation, pictures = []) {
      conversations.set(conversation.id, conversation);
      for (const picture of pictures) kept.set(picture.id, picture);
    },
    async remove(id) {
      const conversation = conversations.get(id);
      if (conversation) for (const picture of imagesOf(conversation)) kept.delete(picture);
      conversations.delete(id);
    },
  };
}

export function summaryOf({ id, title, updatedAt }: Conversation): Summary {
  return { id, title, updatedAt };
}

export function newestFirst(summaries: readonly Summary[]): Summary[] {
  return summaries.toSorted((a, b) => b.updatedAt - a.updatedAt);
}

function there<T>(values: readonly (T | undefined)[]): T[] {
  return values.filter((value) => value !== undefined);
}
