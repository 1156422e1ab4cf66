// The page: the list beside the view, what lies over both, and the keys that work everywhere.

import { useEffect, useState } from "preact/hooks";
import { current, newChat, streaming } from "../keep/chats.ts";
import { Fleet } from "../fleet/fleet.tsx";
import { notice, spoken } from "../notice.ts";
import { drawer, route } from "../shell.ts";
import { stop } from "../talk/talk.ts";
import { Chat } from "./chat.tsx";
import { Dialogs, question } from "./dialog.tsx";
import { Icon } from "./icons.tsx";
import { Sidebar } from "./sidebar.tsx";

export function App() {
  const narrow = useNarrow();
  useEffect(() => {
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return (
    <>
      <button type="button" class="skip" onClick={toField}>
        Skip to the message field
      </button>
      <Sidebar narrow={narrow} />
      {route.value.view === "fleet" ? <Fleet /> : <Chat />}
      <Dialogs />
      {notice.value !== undefined && (
        <div class="notice">
          {notice.value}
          <button
            {...{ type: "button", class: "quiet", "aria-label": "Dismiss" }}
            onClick={() => (notice.value = undefined)}
          >
            <Icon name="close" />
          </button>
        </div>
      )}
      <div class="unseen" role="status">
        {notice.value ?? spoken.value}
      </div>
    </>
  );
}

function onKey(event: KeyboardEvent): void {
  const typing = (event.target as Element).matches("input, textarea");
  if (question.value !== undefined || event.isComposing) return;
  if (event.key === "Escape") escape();
  else if ((event.ctrlKey || event.metaKey) && event.shiftKey && event.key.toLowerCase() === "o") {
    event.preventDefault();
    newChat();
  } else if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
  else if (event.key === "/") {
    event.preventDefault();
    toField();
  } else if (event.key === "?") question.value = { kind: "keys" };
}

function escape(): void {
  if (drawer.value) drawer.value = false;
  else if (current.value && streaming.value.has(current.value.id)) stop(current.value.id);
}

function toField(): void {
  document.querySelector<HTMLElement>("#composer")?.focus();
}

function useNarrow(): boolean {
  const [query] = useState(() => matchMedia("(max-width: 820px)"));
  const [narrow, setNarrow] = useState(query.matches);
  useEffect(() => {
    const onChange = () => setNarrow(query.matches);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, []);
  return narrow;
}
