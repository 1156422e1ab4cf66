// A model's answer: its reasoning folded, its words, the tools that it calls, how it ended, and how fast it was.

import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";
import { conversationCalled } from "../keep/chats.ts";
import type { AssistantMessage, ToolCall } from "../keep/conversation.ts";
import { speedOf } from "../talk/answer.ts";
import { giveResults, regenerate } from "../talk/talk.ts";
import { CopyButton } from "./copy.tsx";
import { Icon } from "./icons.tsx";
import { Markdown } from "./markdown.tsx";
import { number, seconds, tokens } from "./words.ts";

export interface AnswerProps {
  conversation: string;
  node: string;
  message: AssistantMessage;
  /** An answer is coming in this conversation. */
  busy: boolean;
  last: boolean;
  variants: ComponentChildren;
}

export function Answer({ conversation, node, message, busy, last, variants }: AnswerProps) {
  const { content, reasoning, calls, state } = message;
  const coming = state === "streaming" || (busy && last); // until its end is kept
  const again = () => {
    const now = conversationCalled(conversation);
    if (now) regenerate(now, node);
  };
  return (
    <article class="message answer" aria-label={`Answer of ${message.model}`} aria-busy={coming}>
      {reasoning !== "" && <Reasoning message={message} />}
      {content !== "" && <Markdown text={content} />}
      {calls.map((call, i) => (
        <Call key={i} call={call} />
      ))}
      {coming && content === "" && reasoning === "" && <p class="waiting">Waiting for the first word…</p>}
      {state === "failed" && <Failure {...{ message, busy }} onRetry={again} />}
      {!coming && (
        <div class="tools">
          {variants}
          {content !== "" && <CopyButton text={content} label="Copy answer" />}
          {state !== "failed" && (
            <button
              {...{ type: "button", class: "quiet", "aria-label": "Answer again", title: "Answer again" }}
              {...{ disabled: busy, onClick: again }}
            >
              <Icon name="again" />
            </button>
          )}
          <Figures message={message} />
        </div>
      )}
      {last && !busy && state === "done" && calls.length > 0 && (
        <Results key={node} {...{ conversation, node, calls }} />
      )}
    </article>
  );
}

function Reasoning({
  message: { reasoning, content, calls, state, timings },
}: {
  message: AssistantMessage;
}) {
  const thinking = state === "streaming" && content === "" && calls.length === 0;
  const took = timings?.thought;
  const thought = took !== undefined && took >= 1000 ? `Thought for ${seconds(took)}` : "Thoughts";
  return (
    <details class="reasoning">
      <summary>
        <Icon name="thought" />
        <span class={thinking ? "shimmer" : ""}>{thinking ? "Thinking…" : thought}</span>
        <Icon name="down" />
      </summary>
      <Markdown text={reasoning} />
    </details>
  );
}

function Call({ call }: { call: ToolCall }) {
  return (
    <section class="call" aria-label={`Call of ${call.name}`}>
      <span>
        <Icon name="tool" /> <code>{call.name}</code>
      </span>
      <pre tabIndex={0}>{indented(call.arguments)}</pre>
    </section>
  );
}

function Failure(props: { message: AssistantMessage; busy: boolean; onRetry: () => void }) {
  const { error, content, reasoning } = props.message;
  return (
    <div class="failure" role="alert">
      <Icon name="warning" />
      <p>
        {error?.message}
        {error?.code !== undefined && <code>{error.code}</code>}
        {(content !== "" || reasoning !== "") && <span class="soft"> What had come is kept above.</span>}
      </p>
      <button type="button" disabled={props.busy} onClick={props.onRetry}>
        Try again
      </button>
    </div>
  );
}

/** "128 tokens · 42.1 tokens/s · first token 0.31 s" */
function Figures({ message }: { message: AssistantMessage }) {
  const { usage, timings, model, state, finish } = message;
  const speed = speedOf(message);
  const figures = [
    ...(state === "stopped" ? ["stopped"] : []),
    ...(finish === "length" ? ["cut at the limit of tokens"] : []),
    ...(usage ? [tokens(usage.completion)] : []),
    ...(speed !== undefined ? [`${number(speed)} tokens/s`] : []),
    ...(timings?.firstToken !== undefined ? [`first token ${seconds(timings.firstToken)}`] : []),
    model,
  ];
  const details = [
    ...(usage ? [`prompt ${tokens(usage.prompt)}`] : []),
    ...(usage?.cached ? [`${usage.cached} of them cached`] : []),
    ...(usage?.reasoning ? [`${usage.reasoning} for reasoning`] : []),
    ...(timings?.prefill !== undefined ? [`prompt read in ${seconds(timings.prefill)}`] : []),
    ...(timings?.total !== undefined ? [`${seconds(timings.total)} in all`] : []),
  ];
  return (
    <span class="figures" title={details.join(", ")}>
      {figures.join(" · ")}
    </span>
  );
}

interface ResultsProps {
  conversation: string;
  node: string;
  calls: readonly ToolCall[];
}

/** The page runs no tools: the user says what they gave. */
function Results({ conversation, node, calls }: ResultsProps) {
  const id = useId();
  const [results, setResults] = useState(() => calls.map(() => ""));
  const onSubmit = (event: Event) => {
    event.preventDefault();
    const now = conversationCalled(conversation);
    if (now) giveResults(now, node, results);
  };
  return (
    <form class="results" onSubmit={onSubmit}>
      {calls.map(({ name }, i) => (
        <div class="field" key={i}>
          <label for={`${id}-${i}`}>Result of {name}</label>
          <textarea
            {...{ id: `${id}-${i}`, rows: 2, value: results[i] }}
            onInput={({ currentTarget }) => setResults(results.with(i, currentTarget.value))}
          />
        </div>
      ))}
      <div class="row end">
        <button type="submit" class="primary">
          Send {calls.length === 1 ? "the result" : "the results"}
        </button>
      </div>
    </form>
  );
}

function indented(json: string): string {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json; // not whole yet, or never valid
  }
}
