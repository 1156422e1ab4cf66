// A conversation is a tree: an edited question and a regenerated answer are siblings of what they replace, and nothing
// that was said is lost. What is shown, and sent to the model, is one path from the root. Pure: values in, values out.

export interface Conversation {
  id: string;
  title: string;
  /** The user chose the title; else it follows the first question. */
  named: boolean;
  /** Date.now(). */
  createdAt: number;
  updatedAt: number;
  settings: Settings;
  /** By id, in the order of their making. */
  nodes: Record<string, Node>;
  /** Which child is shown, by the parent's id; "" is the parent of the first message. */
  chosen: Record<string, string>;
}

/** What a request says beside its messages; what is absent is left to the server. */
export interface Settings {
  model?: string;
  system?: string;
  temperature?: number;
  top_p?: number;
  max_tokens?: number;
  thinking?: boolean;
  /** A JSON array in OpenAI's form, as the user typed it. */
  tools?: string;
}

export interface Node {
  id: string;
  /** "" for the first. */
  parent: string;
  message: Message;
}

export type Message = UserMessage | AssistantMessage | ToolMessage;

export interface UserMessage {
  role: "user";
  text: string;
  /** Ids of pictures. */
  images: string[];
}

export interface ToolMessage {
  role: "tool";
  callId: string;
  text: string;
}

export interface AssistantMessage {
  role: "assistant";
  model: string;
  /** "streaming" is only kept so that a page which was closed meanwhile finds what had come. */
  state: "streaming" | "done" | "stopped" | "failed";
  content: string;
  reasoning: string;
  calls: ToolCall[];
  finish?: string;
  usage?: Usage;
  /** Milliseconds. */
  timings?: { prefill?: number; decode?: number; firstToken?: number; thought?: number; total?: number };
  /** Why it failed. */
  error?: { message: string; code?: string };
}

export interface ToolCall {
  id: string;
  name: string;
  /** JSON, maybe not whole yet. */
  arguments: string;
}

export interface Usage {
  prompt: number;
  completion: number;
  cached?: number;
  reasoning?: number;
}

export function newConversation(id: string, settings: Settings, now: number): Conversation {
  const empty = { title: "New chat", named: false, nodes: {}, chosen: {} };
  return { ...empty, id, createdAt: now, updatedAt: now, settings };
}

/** The messages that are shown, the first one first. */
export function pathOf({ nodes, chosen }: Conversation): Node[] {
  const path: Node[] = [];
  for (let node = nodes[chosen[""] ?? ""]; node; node = nodes[chosen[node.id] ?? ""]) path.push(node);
  return path;
}

/** The messages up to a node, itself included. */
export function pathTo({ nodes }: Conversation, id: string): Node[] {
  const path: Node[] = [];
  for (let node = nodes[id]; node; node = nodes[node.parent]) path.unshift(node);
  return path;
}

/** Adds a message under a parent and shows it. */
export function append(conversation: Conversation, node: Node, now: number): Conversation {
  const { message, parent, id } = node;
  const isFirst = parent === "" && message.role === "user" && !conversation.named;
  return {
    ...conversation,
    title: isFirst ? titleOf(message.text) : conversation.title,
    updatedAt: now,
    nodes: { ...conversation.nodes, [id]: node },
    chosen: { ...conversation.chosen, [parent]: id },
  };
}

export function withMessage(conversation: Conversation, id: string, message: Message): Conversation {
  const node = conversation.nodes[id];
  if (!node) return conversation;
  return { ...conversation, nodes: { ...conversation.nodes, [id]: { ...node, message } } };
}

/** A node's siblings and itself, the oldest first. */
export function variantsOf({ nodes }: Conversation, id: string): string[] {
  const parent = nodes[id]?.parent;
  return Object.values(nodes)
    .filter((node) => node.parent === parent)
    .map((node) => node.id);
}

export function choose(conversation: Conversation, id: string): Conversation {
  const node = conversation.nodes[id];
  return node ? { ...conversation, chosen: { ...conversation.chosen, [node.parent]: id } } : conversation;
}

export function rename(conversation: Conversation, title: string): Conversation {
  return { ...conversation, title: title.trim() || conversation.title, named: true };
}

/** Answers that were still coming when their page was closed have broken off. */
export function settled(conversation: Conversation): Conversation {
  const error = { message: "The page was closed while this answer was coming." };
  return Object.values(conversation.nodes).reduce(
    (whole, { id, message }) =>
      message.role === "assistant" && message.state === "streaming"
        ? withMessage(whole, id, { ...message, state: "failed", error })
        : whole,
    conversation,
  );
}

export function imagesOf({ nodes }: Conversation): string[] {
  return Object.values(nodes).flatMap(({ message }) => (message.role === "user" ? message.images : []));
}

const longestTitle = 60;

function titleOf(text: string): string {
  const line = text.trim().split(/\s*\n/)[0]!.replace(/\s+/g, " ");
  if (line === "") return "A picture";
  if (line.length <= longestTitle) return line;
  const cut = line.slice(0, longestTitle);
  return `${cut.slice(0, Math.max(cut.lastIndexOf(" "), longestTitle / 2))}…`;
}
