// Conversations as a file, and back. A file may come from anywhere: it is checked to the last field, and what does not
// hold together (a parent that is missing, a circle, a picture that is no picture) is refused. Pure.

import * as v from "valibot";
import type { Conversation } from "./conversation.ts";
import { imagesOf, settled } from "./conversation.ts";
import type { Picture } from "./database.ts";

const format = "cortex-conversations";

export interface Bundle {
  conversations: Conversation[];
  pictures: Picture[];
}

export function toFile({ conversations, pictures }: Bundle, now: Date): string {
  const file = { format, version: 1, exportedAt: now.toISOString(), conversations, pictures };
  return `${JSON.stringify(file, null, 2)}\n`;
}

/** Throws an Error that says what is wrong with the file. */
export function fromFile(text: string): Bundle {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error("This is not a JSON file.");
  }
  if ((value as { format?: unknown } | null)?.format !== format)
    throw new Error("This file was not exported by this page.");
  const result = v.safeParse(File, value, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new Error(`${v.getDotPath(issue) ?? "file"}: ${issue.message}`);
  }
  const { conversations, pictures } = result.output;
  return { conversations: (conversations as Conversation[]).map(settled), pictures };
}

/**
 * What of a bundle is new, under ids that are free: the same conversation twice is one, and one that has changed since
 * comes beside what is there.
 */
export function incoming(bundle: Bundle, known: ReadonlyMap<string, number>, freshId: () => string): Bundle {
  const pictures: Picture[] = [];
  const conversations = bundle.conversations
    .filter(({ id, updatedAt }) => known.get(id) !== updatedAt)
    .map((conversation) => {
      const ids = new Map(imagesOf(conversation).map((id) => [id, freshId()]));
      for (const picture of bundle.pictures) {
        const id = ids.get(picture.id);
        if (id !== undefined) pictures.push({ ...picture, id });
      }
      const id = known.has(conversation.id) ? freshId() : conversation.id;
      return { ...withImages(conversation, ids), id };
    });
  return { conversations, pictures };
}

function withImages(conversation: Conversation, ids: ReadonlyMap<string, string>): Conversation {
  const nodes = Object.values(conversation.nodes).map((node) => {
    const { message } = node;
    if (message.role !== "user") return node;
    return { ...node, message: { ...message, images: message.images.map((id) => ids.get(id)!) } };
  });
  return { ...conversation, nodes: Object.fromEntries(nodes.map((node) => [node.id, node])) };
}

const Text = v.string();
const Count = v.pipe(v.number(), v.minValue(0));
const Id = v.pipe(Text, v.regex(/^[\w-]{1,64}$/, "is not an id"));
/** An optional field of an interface may be absent and nothing else. */
const maybe = v.exactOptional;

const Message = v.variant("role", [
  v.object({ role: v.literal("user"), text: Text, images: v.array(Id) }),
  v.object({ role: v.literal("tool"), callId: Text, text: Text }),
  v.object({
    role: v.literal("assistant"),
    model: Text,
    state: v.picklist(["streaming", "done", "stopped", "failed"]),
    ...{ content: Text, reasoning: Text },
    calls: v.array(v.object({ id: Text, name: Text, arguments: Text })),
    finish: maybe(Text),
    usage: maybe(
      v.object({ prompt: Count, completion: Count, cached: maybe(Count), reasoning: maybe(Count) }),
    ),
    timings: maybe(
      v.object({
        ...{ prefill: maybe(Count), decode: maybe(Count), firstToken: maybe(Count) },
        ...{ thought: maybe(Count), total: maybe(Count) },
      }),
    ),
    error: maybe(v.object({ message: Text, code: maybe(Text) })),
  }),
]);

const Settings = v.object({
  ...{ model: maybe(Text), system: maybe(Text), tools: maybe(Text) },
  ...{ temperature: maybe(v.number()), top_p: maybe(v.number()), max_tokens: maybe(v.number()) },
  thinking: maybe(v.boolean()),
});

const Kept = v.pipe(
  v.object({
    ...{ id: Id, title: Text, named: v.boolean(), createdAt: Count, updatedAt: Count, settings: Settings },
    nodes: v.record(Id, v.object({ id: Id, parent: v.union([v.literal(""), Id]), message: Message })),
    chosen: v.record(v.union([v.literal(""), Id]), Id),
  }),
  v.check(({ nodes }) => Object.entries(nodes).every(([key, { id }]) => key === id), "a message has two ids"),
  v.check(
    ({ nodes }) => Object.keys(nodes).every((id) => reachesRoot(nodes, id)),
    "a message hangs in the air",
  ),
  v.check(
    ({ nodes, chosen }) => Object.entries(chosen).every(([parent, id]) => nodes[id]?.parent === parent),
    "a choice is of a message that is not there",
  ),
);

const File = v.object({
  version: v.literal(1, "was written by a newer page"),
  conversations: v.array(Kept),
  pictures: v.array(
    v.object({
      ...{ id: Id, name: Text, width: Count, height: Count },
      url: v.pipe(
        Text,
        v.regex(/^data:image\/(png|jpeg|webp|gif);base64,[A-Za-z0-9+/]+=*$/, "is not a picture"),
      ),
    }),
  ),
});

function reachesRoot(nodes: Record<string, { parent: string }>, id: string): boolean {
  const seen = new Set<string>();
  let at = id;
  while (at !== "" && !seen.has(at)) {
    seen.add(at);
    const parent = nodes[at]?.parent;
    if (parent === undefined) return false;
    at = parent;
  }
  return at === "";
}
