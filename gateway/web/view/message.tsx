// One message of the thread, and what can be done with it.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { conversationCalled, keep, pictures, streaming } from "../keep/chats.ts";
import type { Conversation, Node, ToolMessage, UserMessage } from "../keep/conversation.ts";
import { choose, variantsOf } from "../keep/conversation.ts";
import { edit } from "../talk/talk.ts";
import { Answer } from "./answer.tsx";
import { CopyButton } from "./copy.tsx";
import { Icon } from "./icons.tsx";

export interface MessageProps {
  conversation: Conversation;
  node: Node;
  /** The last one of the thread. */
  last: boolean;
}

/** Drawn anew only when the message itself changes, however fast another one grows. */
export function Message({ conversation, node, last }: MessageProps) {
  const { id } = conversation;
  const siblings = variantsOf(conversation, node.id);
  const busy = streaming.value.has(id);
  return useMemo(() => {
    const variants = <Variants {...{ conversation: id, node: node.id, siblings, busy }} />;
    const { message } = node;
    switch (message.role) {
      case "user":
        return <Question {...{ conversation: id, node: node.id, message, busy, variants }} />;
      case "assistant":
        return <Answer {...{ conversation: id, node: node.id, message, busy, last, variants }} />;
      case "tool":
        return <Result message={message} />;
    }
  }, [id, node, siblings.join(), busy, last]);
}

interface QuestionProps {
  conversation: string;
  node: string;
  message: UserMessage;
  busy: boolean;
  variants: ComponentChildren;
}

function Question({ conversation, node, message, busy, variants }: QuestionProps) {
  const [editing, setEditing] = useState(false);
  const { text, images } = message;
  if (editing) return <Editor {...{ conversation, node, text }} onClose={() => setEditing(false)} />;
  return (
    <article class="message user" aria-label="You">
      {images.length > 0 && <Pictures ids={images} />}
      {text !== "" && <div class="bubble">{text}</div>}
      <div class="tools">
        {variants}
        <CopyButton text={text} label="Copy question" />
        <button
          {...{ type: "button", class: "quiet edit", disabled: busy, "aria-label": "Edit", title: "Edit" }}
          onClick={() => setEditing(true)}
        >
          <Icon name="pen" />
        </button>
      </div>
    </article>
  );
}

function Pictures({ ids }: { ids: readonly string[] }) {
  const here = ids.flatMap((id) => pictures.value.get(id) ?? []);
  return (
    <div class="pictures">
      {here.map(({ id, url, name, width, height }) => (
        <img key={id} {...{ src: url, alt: name, width, height }} />
      ))}
      {here.length < ids.length && <p class="hint">A picture is no longer here.</p>}
    </div>
  );
}

interface EditorProps {
  conversation: string;
  node: string;
  text: string;
  onClose: () => void;
}

function Editor({ conversation, node, text, onClose }: EditorProps) {
  const [draft, setDraft] = useState(text);
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const now = conversationCalled(conversation);
    if (!now || draft.trim() === "") return;
    onClose();
    edit(now, node, draft.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      onClose();
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) onSubmit(event);
  };
  return (
    <form class="message user editor" onSubmit={onSubmit}>
      <textarea
        {...{
          value: draft,
          "aria-label": "Edit your question",
          rows: Math.min(12, draft.split("\n").length + 1),
        }}
        ref={(field) => field?.focus()}
        onInput={({ currentTarget }) => setDraft(currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div class="row end">
        <button type="button" onClick={onClose}>
          Cancel
        </button>
        <button type="submit" class="primary" disabled={draft.trim() === ""}>
          Send
        </button>
      </div>
    </form>
  );
}

function Result({ message }: { message: ToolMessage }) {
  return (
    <article class="message result" aria-label="Result of a tool">
      <span class="soft">
        <Icon name="tool" /> Result
      </span>
      <pre tabIndex={0}>{message.text}</pre>
    </article>
  );
}

interface VariantsProps {
  conversation: string;
  node: string;
  siblings: readonly string[];
  busy: boolean;
}

function Variants({ conversation, node, siblings, busy }: VariantsProps) {
  if (siblings.length < 2) return null;
  const at = siblings.indexOf(node);
  const show = (index: number) => {
    const now = conversationCalled(conversation);
    if (now) void keep(choose(now, siblings[index]!));
  };
  return (
    <span class="variants" role="group" aria-label="Versions">
      <button
        {...{ type: "button", class: "quiet", "aria-label": "Earlier version", disabled: busy || at === 0 }}
        onClick={() => show(at - 1)}
      >
        <Icon name="left" />
      </button>
      <span>
        {at + 1}/{siblings.length}
      </span>
      <button
        {...{ type: "button", class: "quiet", "aria-label": "Later version" }}
        disabled={busy || at === siblings.length - 1}
        onClick={() => show(at + 1)}
      >
        <Icon name="right" />
      </button>
    </span>
  );
}
