// A button that opens a list of choices: arrows move, Enter chooses, Escape and a click elsewhere close.

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

export interface PopupProps {
  /** Of the button; its text, where it has one, is no name enough. */
  label: string;
  button: ComponentChildren;
  /** Elements with a role of menuitem or menuitemradio. */
  children: ComponentChildren;
  class?: string;
}

const items = "[role^=menuitem]:not([aria-disabled=true])";

export function Popup({ label, button, children, class: className = "" }: PopupProps) {
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const opener = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const choices = [...box.current!.querySelectorAll<HTMLElement>(items)];
    (choices.find((item) => item.ariaChecked === "true") ?? choices[0])?.focus();
    const onPointer = ({ target }: PointerEvent) => {
      if (!box.current?.contains(target as globalThis.Node)) setOpen(false);
    };
    addEventListener("pointerdown", onPointer);
    return () => removeEventListener("pointerdown", onPointer);
  }, [open]);
  const close = () => {
    setOpen(false);
    opener.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (!open) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      close();
    } else if (event.key === "Tab") setOpen(false);
    else if (move(box.current!, event.key)) event.preventDefault();
  };
  return (
    <div class={`popup ${className}`} ref={box} onKeyDown={onKeyDown}>
      <button
        {...{ type: "button", ref: opener, class: "opener", title: label }}
        {...{ "aria-label": label, "aria-haspopup": "menu", "aria-expanded": open }}
        onClick={() => setOpen(!open)}
      >
        {button}
      </button>
      {open && (
        <div class="menu" role="menu" aria-label={label} onClick={close}>
          {children}
        </div>
      )}
    </div>
  );
}

/** Moves the focus as the key says; false when it says nothing. */
function move(box: HTMLElement, key: string): boolean {
  const choices = [...box.querySelectorAll<HTMLElement>(items)];
  const at = choices.indexOf(document.activeElement as HTMLElement);
  const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? -1 : at - 1, Home: 0, End: -1 }[key];
  if (to === undefined) return false;
  choices.at(to % Math.max(1, choices.length))?.focus();
  return true;
}

export interface ChoiceProps {
  onChoose: () => void;
  /** Of one of several, exactly one of which holds. */
  checked?: boolean;
  children: ComponentChildren;
  class?: string;
}

export function Choice({ onChoose, checked, children, class: className }: ChoiceProps) {
  return (
    <button
      {...{ type: "button", tabIndex: -1, onClick: onChoose, class: className }}
      {...(checked === undefined ? { role: "menuitem" } : { role: "menuitemradio", "aria-checked": checked })}
    >
      {children}
    </button>
  );
}
