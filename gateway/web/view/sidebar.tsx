// The conversations of this browser, by age, and what can be done with them; the way to the fleet.

import { useRef } from "preact/hooks";
import { exported, importFrom, newChat, remove, rename, streaming, summaries } from "../keep/chats.ts";
import type { Summary } from "../keep/database.ts";
import { notify } from "../notice.ts";
import { drawer, route } from "../shell.ts";
import { question } from "./dialog.tsx";
import { Icon, Mark } from "./icons.tsx";
import { Choice, Popup } from "./popup.tsx";
import { age } from "./words.ts";

export function Sidebar({ narrow }: { narrow: boolean }) {
  const hidden = narrow && !drawer.value;
  const inFleet = route.value.view === "fleet";
  return (
    <>
      {narrow && drawer.value && <div class="backdrop" onClick={() => (drawer.value = false)} />}
      <nav class={`sidebar ${hidden ? "away" : ""}`} aria-label="Conversations" inert={hidden}>
        <header class="row">
          <Mark />
          <h1>cortex</h1>
          {narrow && (
            <button
              {...{ type: "button", class: "quiet push", "aria-label": "Close the list" }}
              onClick={() => (drawer.value = false)}
            >
              <Icon name="close" />
            </button>
          )}
        </header>
        <button type="button" class="wide" onClick={newChat}>
          <Icon name="plus" /> New chat
        </button>
        <a {...{ class: "wide link", href: "#/fleet", "aria-current": inFleet ? "page" : undefined }}>
          <Icon name="chip" /> Fleet
        </a>
        <List />
        <Tools />
      </nav>
    </>
  );
}

function List() {
  const now = Date.now();
  const all = summaries.value.map((summary) => ({ ...summary, age: age(summary.updatedAt, now) }));
  if (all.length === 0) return <p class="list hint">Conversations are kept in this browser only.</p>;
  return (
    <div class="list">
      {[...new Set(all.map((summary) => summary.age))].map((name) => (
        <section key={name} aria-label={name}>
          <h2>{name}</h2>
          <ul>
            {all
              .filter((summary) => summary.age === name)
              .map((summary) => (
                <Item key={summary.id} {...summary} />
              ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

function Item({ id, title }: Summary) {
  const here = route.value.view === "chat" && route.value.id === id;
  const onRename = () => {
    question.value = { kind: "name", title: "Rename", value: title, onName: (name) => void rename(id, name) };
  };
  const onDelete = () => {
    const text = `“${title}” will be removed from this browser.`;
    question.value = {
      ...{ kind: "confirm", title: "Delete this conversation?", text, action: "Delete" },
      onYes: () => void remove(id),
    };
  };
  return (
    <li class={here ? "here" : ""}>
      <a href={`#/chat/${id}`} aria-current={here ? "page" : undefined} title={title}>
        {title}
        {streaming.value.has(id) && <span class="pulse" role="img" aria-label="answering" />}
      </a>
      <Popup label={`Actions for ${title}`} button={<Icon name="more" />} class="at-end">
        <Choice onChoose={onRename}>Rename…</Choice>
        <Choice onChoose={() => void download([id], title)}>Export</Choice>
        <Choice onChoose={onDelete} class="danger">
          Delete…
        </Choice>
      </Popup>
    </li>
  );
}

function Tools() {
  const file = useRef<HTMLInputElement>(null);
  const onFile = async (input: HTMLInputElement) => {
    const chosen = input.files?.[0];
    input.value = "";
    if (!chosen) return;
    try {
      notify(await importFrom(await chosen.text()));
    } catch (error) {
      notify(`${chosen.name}: ${(error as Error).message}`);
    }
  };
  return (
    <footer class="row">
      <button type="button" class="quiet" onClick={() => file.current?.click()}>
        Import
      </button>
      <button
        {...{ type: "button", class: "quiet", disabled: summaries.value.length === 0 }}
        onClick={() =>
          void download(
            summaries.value.map(({ id }) => id),
            "conversations",
          )
        }
      >
        Export all
      </button>
      <button
        {...{ type: "button", class: "quiet push", "aria-label": "Keyboard", title: "Keyboard" }}
        onClick={() => (question.value = { kind: "keys" })}
      >
        <Icon name="keyboard" />
      </button>
      <input
        {...{ ref: file, type: "file", accept: "application/json,.json", hidden: true }}
        aria-label="File to import"
        onChange={({ currentTarget }) => void onFile(currentTarget)}
      />
    </footer>
  );
}

async function download(ids: readonly string[], name: string): Promise<void> {
  const url = URL.createObjectURL(new Blob([await exported(ids)], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${name.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "conversation"}.json`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Brings the list into view on a narrow screen. */
export function DrawerButton() {
  return (
    <button
      {...{
        type: "button",
        class: "quiet drawer",
        "aria-label": "Conversations",
        "aria-expanded": drawer.value,
      }}
      onClick={() => (drawer.value = true)}
    >
      <Icon name="menu" />
    </button>
  );
}
