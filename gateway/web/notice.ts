// What the page has to say beside its views.

import { signal } from "@preact/signals";

/** Read out, not shown. */
export const spoken = signal("");
export const notice = signal<string | undefined>(undefined);

let timer: ReturnType<typeof setTimeout> | undefined;

/** A line at the edge of the screen that goes by itself. */
export function notify(text: string): void {
  notice.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (notice.value = undefined), 8000);
}
