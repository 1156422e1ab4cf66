// Where the user writes: text, and pictures by paste, drop or from a file.

import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { modelCalled, modelFor } from "../fleet/poll.ts";
import { streaming } from "../keep/chats.ts";
import type { Conversation } from "../keep/conversation.ts";
import type { Picture } from "../keep/database.ts";
import { toPicture } from "../keep/pictures.ts";
import { notify } from "../notice.ts";
import { ask, stop } from "../talk/talk.ts";
import { Icon } from "./icons.tsx";

/** What was begun and not sent, by conversation. */
const drafts = new Map<string, string>();

export function Composer({ conversation }: { conversation: Conversation }) {
  const [text, setText] = useDraft(conversation.id);
  const model = modelFor(conversation);
  const blind = blindness(model);
  const { images, attach, remove, clear } = useAttachments(blind);
  const field = useRef<HTMLTextAreaElement>(null);
  useGrowth(field, text);
  useEffect(() => {
    if (!onGlass()) field.current?.focus(); // elsewhere it would bring up the keyboard
  }, []);
  const refusal =
    model === undefined ? "No model is there to answer." : images.length > 0 ? blind : undefined;
  const ready = (text.trim() !== "" || images.length > 0) && refusal === undefined;
  const send = (event: Event) => {
    event.preventDefault();
    if (!ready || streaming.value.has(conversation.id)) return;
    ask(conversation, text.trim(), images);
    setText("");
    clear();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // Enter also ends the choice of a Chinese or Japanese word; on a keyboard of glass it is a new line.
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && !onGlass()) send(event);
    else if (event.key === "ArrowUp" && text === "") editLast(event);
  };
  const onPaste = (event: ClipboardEvent) => {
    const files = filesOf(event.clipboardData);
    if (files.length > 0) event.preventDefault();
    void attach(files);
  };
  return (
    <form class="composer" onSubmit={send} onPaste={onPaste}>
      <Drop onFiles={(files) => void attach(files)} />
      <Attached images={images} onRemove={remove} />
      {images.length > 0 && refusal !== undefined && (
        <p class="hint bad" role="status">
          {refusal}
        </p>
      )}
      <textarea
        {...{ ref: field, id: "composer", rows: 1, value: text, placeholder: "Ask anything" }}
        {...{ "aria-label": "Message", enterKeyHint: onGlass() ? "enter" : "send" }}
        onInput={({ currentTarget }) => setText(currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <div class="row">
        <Attach blind={blind} onFiles={(files) => void attach(files)} />
        <Send {...{ conversation: conversation.id, ready, refusal }} />
      </div>
    </form>
  );
}

interface SendProps {
  conversation: string;
  ready: boolean;
  refusal: string | undefined;
}

/** Sends; stops while an answer comes. */
function Send({ conversation, ready, refusal }: SendProps) {
  if (streaming.value.has(conversation))
    return (
      <button
        {...{ type: "button", class: "send", "aria-label": "Stop", title: "Stop (Esc)" }}
        onClick={() => stop(conversation)}
      >
        <Icon name="stop" />
      </button>
    );
  return (
    <button
      {...{ type: "submit", class: "send", disabled: !ready, "aria-label": "Send" }}
      title={refusal ?? "Send (Enter)"}
    >
      <Icon name="send" />
    </button>
  );
}

function useDraft(id: string): [string, (text: string) => void] {
  const [text, setText] = useState(drafts.get(id) ?? "");
  const set = (draft: string) => {
    drafts.set(id, draft);
    setText(draft);
  };
  return [text, set];
}

/** Pictures to be sent; with `blind`, why there can be none. */
function useAttachments(blind: string | undefined) {
  const [images, setImages] = useState<readonly Picture[]>([]);
  const attach = async (files: readonly File[]) => {
    if (files.length > 0 && blind !== undefined) return notify(blind);
    for (const file of files) {
      try {
        const picture = await toPicture(file);
        setImages((before) => [...before, picture]);
      } catch (error) {
        notify((error as Error).message);
      }
    }
  };
  const remove = (id: string) => setImages((before) => before.filter((image) => image.id !== id));
  return { images, attach, remove, clear: () => setImages([]) };
}

/** Why the model of a conversation takes no pictures; undefined when it does. */
function blindness(id: string | undefined): string | undefined {
  const model = modelCalled(id);
  if (!model) return "There is no model to look at pictures.";
  if (!model.loaded) return `${model.id} is not loaded: whether it sees pictures is not known yet.`;
  return model.capabilities.includes("vision") ? undefined : `${model.id} reads text only, no pictures.`;
}

function Attach({ blind, onFiles }: { blind: string | undefined; onFiles: (files: File[]) => void }) {
  const input = useRef<HTMLInputElement>(null);
  const name = blind === undefined ? "Attach a picture" : `Attach a picture: ${blind}`;
  return (
    <>
      <button
        {...{ type: "button", class: "quiet attach", "aria-label": name, title: blind ?? name }}
        aria-disabled={blind !== undefined}
        onClick={() => (blind === undefined ? input.current?.click() : notify(blind))}
      >
        <Icon name="picture" />
        {blind !== undefined && <span class="soft">text only</span>}
      </button>
      <input
        {...{ ref: input, type: "file", accept: "image/*", multiple: true, hidden: true }}
        aria-label="Pictures to attach"
        onChange={({ currentTarget }) => {
          onFiles([...(currentTarget.files ?? [])]);
          currentTarget.value = "";
        }}
      />
    </>
  );
}

function Attached({ images, onRemove }: { images: readonly Picture[]; onRemove: (id: string) => void }) {
  if (images.length === 0) return null;
  return (
    <ul class="attached" aria-label="Attached pictures">
      {images.map(({ id, url, name }) => (
        <li key={id}>
          <img src={url} alt={name} />
          <button type="button" aria-label={`Remove ${name}`} onClick={() => onRemove(id)}>
            <Icon name="close" />
          </button>
        </li>
      ))}
    </ul>
  );
}

/** The whole page takes what is dropped on it. */
function Drop({ onFiles }: { onFiles: (files: File[]) => void }) {
  const [over, setOver] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    const carriesFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const onOver = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      setOver(true);
    };
    const onLeave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const onDrop = (event: DragEvent) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      setOver(false);
      take.current(filesOf(event.dataTransfer));
    };
    addEventListener("dragover", onOver);
    addEventListener("dragleave", onLeave);
    addEventListener("drop", onDrop);
    return () => {
      removeEventListener("dragover", onOver);
      removeEventListener("dragleave", onLeave);
      removeEventListener("drop", onDrop);
    };
  }, []);
  return over ? <div class="drop">Drop pictures here</div> : null;
}

/** As tall as its text, up to what the style allows. */
function useGrowth(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  useEffect(() => {
    const { current } = field;
    if (!current) return;
    current.style.height = "auto";
    current.style.height = `${current.scrollHeight}px`;
  }, [text]);
}

function filesOf(data: DataTransfer | null): File[] {
  return [...(data?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
}

function onGlass(): boolean {
  return matchMedia("(hover: none) and (pointer: coarse)").matches;
}

/** Opens the editor of the last question, as terminals do. */
function editLast(event: KeyboardEvent): void {
  const buttons = document.querySelectorAll<HTMLButtonElement>(".message.user .edit:not(:disabled)");
  const last = [...buttons].at(-1);
  if (!last) return;
  event.preventDefault();
  last.click();
}
