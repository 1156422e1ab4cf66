// The model of a conversation, and how it is doing.

import type { ListedModel } from "../../fleet/protocol.ts";
import { fleet, modelCalled, modelFor, reachable } from "../fleet/poll.ts";
import { setSettings } from "../keep/chats.ts";
import type { Conversation } from "../keep/conversation.ts";
import { Icon } from "./icons.tsx";
import { Choice, Popup } from "./popup.tsx";
import { context } from "./words.ts";

export function Picker({ conversation }: { conversation: Conversation }) {
  const id = modelFor(conversation);
  const model = modelCalled(id);
  const models = fleet.value?.models ?? [];
  const status = statusOf(model);
  const name = id ?? "No model";
  const words = !reachable.value ? "gateway away" : status.kind === "good" ? undefined : status.text;
  const button = (
    <>
      <Dot kind={reachable.value ? status.kind : "bad"} />
      <span class="name">{name}</span>
      {words !== undefined && <span class="soft">{words}</span>}
      <Icon name="down" />
    </>
  );
  return (
    <Popup label={`Model: ${name}, ${status.text}`} button={button} class="picker">
      {models.map((choice) => (
        <Choice
          {...{ key: choice.id, checked: choice.id === id }}
          onChoose={() => setSettings(conversation, { ...conversation.settings, model: choice.id })}
        >
          <Listed model={choice} />
        </Choice>
      ))}
      {models.length === 0 && <p class="hint">The fleet has no models yet.</p>}
    </Popup>
  );
}

function Listed({ model }: { model: ListedModel }) {
  const { id, alias_of, capabilities, tool_call, reasoning, limit } = model;
  const status = statusOf(model);
  const marks = [
    ...(capabilities.includes("vision") ? ["pictures"] : []),
    ...(tool_call ? ["tools"] : []),
    ...(reasoning ? ["reasoning"] : []),
    ...(limit ? [`${context(limit.context)} context`] : []),
  ];
  return (
    <>
      <Dot kind={status.kind} />
      <span class="model">
        <span class="name">
          {id}
          {alias_of !== undefined && <span class="soft"> → {alias_of}</span>}
        </span>
        <span class="soft">{[status.text, ...marks].join(" · ")}</span>
        {status.percent !== undefined && <Progress percent={status.percent} />}
      </span>
    </>
  );
}

export function Progress({ percent }: { percent: number }) {
  return <progress max={100} value={percent} aria-label="loaded" />;
}

export type Kind = "good" | "busy" | "bad" | "off";

export function Dot({ kind }: { kind: Kind }) {
  return <span class={`dot ${kind}`} aria-hidden="true" />;
}

export interface Status {
  kind: Kind;
  text: string;
  percent?: number;
}

/** How a model is doing in the fleet as a whole: the best of its places counts. */
export function statusOf(model: ListedModel | undefined): Status {
  if (!model) return { kind: "off", text: "not in this fleet" };
  const at = model.locations;
  const loaded = at.filter(({ status }) => status === "loaded").map(({ neuron }) => neuron);
  if (loaded.length > 0) return { kind: "good", text: `on ${loaded.join(", ")}` };
  const loading = at.find(({ status }) => status === "loading");
  if (loading) {
    const { percent } = loading;
    if (percent === undefined) return { kind: "busy", text: "loading" };
    return { kind: "busy", text: `loading ${percent} %`, percent };
  }
  if (at.some(({ status }) => status === "failed")) return { kind: "bad", text: "failed to load" };
  return { kind: "off", text: at[0]?.status ?? "not loaded" };
}
