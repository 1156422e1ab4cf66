// Windows over the page: they ask for a name, for an API key, or whether to go on, and tell the keyboard's keys.

import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

type Question =
  | { kind: "confirm"; title: string; text: string; action: string; onYes: () => void }
  | { kind: "name"; title: string; value: string; onName: (name: string) => void }
  | { kind: "key"; onKey: (key: string) => void }
  | { kind: "keys" };

export const question = signal<Question | undefined>(undefined);

export function Dialogs() {
  const asked = question.value;
  switch (asked?.kind) {
    case "confirm":
      return <Confirm {...asked} />;
    case "name":
      return <Name {...asked} />;
    case "key":
      return <ApiKey {...asked} />;
    case "keys":
      return <Keys />;
  }
  return null;
}

function close(): void {
  question.value = undefined;
}

function Window({ title, children }: { title: string; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current!.showModal();
  }, []);
  return (
    <dialog ref={dialog} onClose={close} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{title}</h2>
      {children}
    </dialog>
  );
}

function Confirm({ title, text, action, onYes }: Extract<Question, { kind: "confirm" }>) {
  const yes = () => {
    close();
    onYes();
  };
  return (
    <Window title={title}>
      <p>{text}</p>
      <div class="row end">
        <button type="button" onClick={close}>
          Cancel
        </button>
        <button type="button" class="danger" onClick={yes}>
          {action}
        </button>
      </div>
    </Window>
  );
}

function Name({ title, value, onName }: Extract<Question, { kind: "name" }>) {
  const [name, setName] = useState(value);
  const onSubmit = (event: Event) => {
    event.preventDefault();
    close();
    onName(name);
  };
  return (
    <Window title={title}>
      <form onSubmit={onSubmit}>
        <label>
          Name
          <input value={name} maxLength={120} onInput={({ currentTarget }) => setName(currentTarget.value)} />
        </label>
        <div class="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={name.trim() === ""}>
            Save
          </button>
        </div>
      </form>
    </Window>
  );
}

function ApiKey({ onKey }: Extract<Question, { kind: "key" }>) {
  const [key, setKey] = useState("");
  const onSubmit = (event: Event) => {
    event.preventDefault();
    close();
    onKey(key.trim());
  };
  return (
    <Window title="API key">
      <form onSubmit={onSubmit}>
        <p>
          This gateway answers to who has a key. It is kept in this browser, and sent to this gateway alone.
        </p>
        <label>
          Key
          <input
            {...{ type: "password", autoComplete: "off", value: key }}
            onInput={({ currentTarget }) => setKey(currentTarget.value)}
          />
        </label>
        <div class="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={!/^[\x21-\x7e]+$/.test(key.trim())}>
            Save
          </button>
        </div>
      </form>
    </Window>
  );
}

const keys: [string, string][] = [
  ["Enter", "Send"],
  ["Shift + Enter", "New line"],
  ["Esc", "Stop the answer"],
  ["↑ in an empty field", "Edit the last question"],
  ["Ctrl or ⌘ + Shift + O", "New chat"],
  ["/", "Go to the message field"],
  ["?", "This list"],
];

function Keys() {
  return (
    <Window title="Keyboard">
      <dl class="keys">
        {keys.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <div class="row end">
        <button type="button" onClick={close}>
          Close
        </button>
      </div>
    </Window>
  );
}
