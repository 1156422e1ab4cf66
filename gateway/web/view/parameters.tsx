// What a request says beside its messages. An empty field leaves the choice to the model.

import { useId } from "preact/hooks";
import { setSettings } from "../keep/chats.ts";
import type { Conversation, Settings } from "../keep/conversation.ts";
import { parseTools } from "../talk/request.ts";
import { modelCalled, modelFor } from "../fleet/poll.ts";
import { Icon } from "./icons.tsx";

export function Parameters({ conversation, onClose }: { conversation: Conversation; onClose: () => void }) {
  const { settings } = conversation;
  const set = (change: Change) => setSettings(conversation, without({ ...settings, ...change }));
  const most = modelCalled(modelFor(conversation))?.limit?.output;
  return (
    <aside class="parameters" aria-label="Parameters">
      <header class="row">
        <h2>Parameters</h2>
        <button type="button" class="quiet push" aria-label="Close parameters" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <Area
        {...{ label: "System prompt", rows: 5, value: settings.system ?? "" }}
        placeholder="Who the model is, and how it should answer"
        onChange={(system) => set({ system })}
      />
      <div class="pair">
        <Numeric
          {...{ label: "Temperature", value: settings.temperature, min: 0, max: 2, step: 0.1 }}
          onChange={(temperature) => set({ temperature })}
        />
        <Numeric
          {...{ label: "Top p", value: settings.top_p, min: 0, max: 1, step: 0.05 }}
          onChange={(top_p) => set({ top_p })}
        />
      </div>
      <Numeric
        {...{ label: "Most tokens of an answer", value: settings.max_tokens, min: 1, step: 1 }}
        {...(most !== undefined && { hint: `This model plans with ${most}.` })}
        onChange={(max_tokens) => set({ max_tokens })}
      />
      <Thinking value={settings.thinking} onChange={(thinking) => set({ thinking })} />
      <Area
        {...{ label: "Tools", rows: 4, value: settings.tools ?? "", code: true }}
        placeholder={'[{"type": "function", "function": {"name": "…"}}]'}
        hint="A JSON list in OpenAI's form. The page shows the calls; you give the results."
        error={complaint(settings.tools)}
        onChange={(tools) => set({ tools })}
      />
    </aside>
  );
}

/** Undefined takes a setting back. */
type Change = { [K in keyof Settings]?: Settings[K] | undefined };

/** A new object of what is set: an empty field is none. */
function without(settings: Change): Settings {
  const said = Object.entries(settings).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries(said) as Settings;
}

function complaint(tools: string | undefined): string | undefined {
  try {
    parseTools(tools);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

interface AreaProps {
  label: string;
  value: string;
  rows: number;
  placeholder: string;
  hint?: string;
  error?: string | undefined;
  code?: boolean;
  onChange: (text: string) => void;
}

function Area({ label, value, rows, placeholder, hint, error, code, onChange }: AreaProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <textarea
        {...{ id, value, rows, placeholder, class: code ? "mono" : "", spellcheck: !code }}
        {...{ "aria-invalid": error !== undefined, "aria-describedby": `${id}-hint` }}
        onInput={({ currentTarget }) => onChange(currentTarget.value)}
      />
      <p id={`${id}-hint`} class={error ? "hint bad" : "hint"}>
        {error ?? hint}
      </p>
    </div>
  );
}

interface NumericProps {
  label: string;
  value: number | undefined;
  min: number;
  max?: number;
  step: number;
  hint?: string;
  onChange: (value: number | undefined) => void;
}

function Numeric({ label, value, min, max, step, hint, onChange }: NumericProps) {
  const id = useId();
  const onInput = (field: HTMLInputElement) => {
    // A number out of range is not taken; the browser marks the field, and says why when it is pointed at.
    if (field.value === "") onChange(undefined);
    else if (!field.validity.rangeOverflow && !field.validity.rangeUnderflow) onChange(field.valueAsNumber);
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        {...{ id, type: "number", inputMode: "decimal", min, max, step: step === 1 ? 1 : "any" }}
        {...{
          value: value ?? "",
          placeholder: "default",
          "aria-describedby": hint ? `${id}-hint` : undefined,
        }}
        onInput={({ currentTarget }) => onInput(currentTarget)}
      />
      {hint !== undefined && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
    </div>
  );
}

const ways: [string, boolean | undefined][] = [
  ["default", undefined],
  ["on", true],
  ["off", false],
];

function Thinking({ value, onChange }: { value: boolean | undefined; onChange: (value?: boolean) => void }) {
  const name = useId();
  return (
    <fieldset class="field">
      <legend>Thinking</legend>
      <div class="segments">
        {ways.map(([text, way]) => (
          <label key={text}>
            <input {...{ type: "radio", name, checked: way === value }} onChange={() => onChange(way)} />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
