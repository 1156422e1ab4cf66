// One conversation: the model it talks to, what was said, and where to say more.

import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { fleet, modelCalled, modelFor } from "../fleet/poll.ts";
import { current, streaming } from "../keep/chats.ts";
import type { Conversation } from "../keep/conversation.ts";
import { pathOf } from "../keep/conversation.ts";
import { ask } from "../talk/talk.ts";
import { Composer } from "./composer.tsx";
import { Icon, Mark } from "./icons.tsx";
import { Message } from "./message.tsx";
import { Parameters } from "./parameters.tsx";
import { Picker, Progress, statusOf } from "./picker.tsx";
import { DrawerButton } from "./sidebar.tsx";

const parameters = signal(false);

export function Chat() {
  const conversation = current.value;
  useEffect(() => {
    document.title =
      conversation && conversation.title !== "New chat" ? `${conversation.title} – cortex` : "cortex";
  }, [conversation?.title]);
  return (
    <main class="chat">
      <header class="bar row">
        <DrawerButton />
        {conversation && <Picker conversation={conversation} />}
        <button
          {...{ type: "button", class: "quiet push", "aria-label": "Parameters", title: "Parameters" }}
          aria-expanded={parameters.value}
          onClick={() => (parameters.value = !parameters.value)}
        >
          <Icon name="sliders" />
        </button>
      </header>
      {conversation && (
        <div class="columns">
          <div class="column">
            <Thread key={conversation.id} conversation={conversation} />
            <Composer key={`composer ${conversation.id}`} conversation={conversation} />
          </div>
          {parameters.value && (
            <Parameters conversation={conversation} onClose={() => (parameters.value = false)} />
          )}
        </div>
      )}
    </main>
  );
}

function Thread({ conversation }: { conversation: Conversation }) {
  const box = useRef<HTMLDivElement>(null);
  /** The user has not scrolled away from the end. */
  const [atEnd, setAtEnd] = useState(true);
  const path = pathOf(conversation);
  useLayoutEffect(() => {
    if (atEnd) toEnd(box.current!);
  }, [conversation]);
  const asked = path.filter(({ message }) => message.role === "user").length;
  useLayoutEffect(() => {
    setAtEnd(true);
    toEnd(box.current!);
  }, [asked]);
  const onScroll = ({ currentTarget }: { currentTarget: HTMLElement }) => {
    const { scrollTop, scrollHeight, clientHeight } = currentTarget;
    setAtEnd(scrollHeight - scrollTop - clientHeight < 60);
  };
  return (
    <div class="thread" ref={box} onScroll={onScroll}>
      {path.length === 0 ? (
        <Welcome conversation={conversation} />
      ) : (
        <div class="messages" role="log" aria-live="off" aria-label="Conversation">
          {path.map((node, i) => (
            <Message key={node.id} {...{ conversation, node, last: i === path.length - 1 }} />
          ))}
        </div>
      )}
      {!atEnd && (
        <button
          {...{ type: "button", class: "to-end", "aria-label": "To the end", title: "To the end" }}
          onClick={() => toEnd(box.current!)}
        >
          <Icon name="down" />
          {streaming.value.has(conversation.id) && <span class="pulse" aria-hidden="true" />}
        </button>
      )}
    </div>
  );
}

function toEnd(box: HTMLElement): void {
  box.scrollTop = box.scrollHeight;
}

const suggestions = [
  "What is the capital of France?",
  "Write a function that reverses a linked list",
  "Explain in three sentences why the sky is blue",
];

function Welcome({ conversation }: { conversation: Conversation }) {
  const id = modelFor(conversation);
  const model = modelCalled(id);
  const status = statusOf(model);
  return (
    <section class="welcome" aria-label="A new conversation">
      <Mark />
      <h2>What would you like to know?</h2>
      {fleet.value && (
        <p class="soft">
          {model?.loaded
            ? `${id} is ready.`
            : id === undefined
              ? "No model is there yet."
              : `${id}: ${status.text}`}
        </p>
      )}
      {status.percent !== undefined && <Progress percent={status.percent} />}
      {model?.loaded && (
        <ul>
          {suggestions.map((text) => (
            <li key={text}>
              <button type="button" onClick={() => ask(conversation, text, [])}>
                {text}
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
