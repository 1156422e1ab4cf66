// A button that copies, and says that it has.

import { useEffect, useState } from "preact/hooks";
import { notify } from "../notice.ts";
import { Icon } from "./icons.tsx";

export function CopyButton({ text, label }: { text: string; label: string }) {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  const onClick = async () => {
    if (await copy(text)) setDone(true);
    else notify("The browser did not let us copy.");
  };
  const name = done ? "Copied" : label;
  return (
    <button type="button" class="quiet" aria-label={name} title={name} onClick={() => void onClick()}>
      <Icon name={done ? "check" : "copy"} />
    </button>
  );
}

/** Browsers have navigator.clipboard only on localhost and https: elsewhere the old way is the only one. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  const before = document.activeElement as HTMLElement | null;
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return copied;
}
