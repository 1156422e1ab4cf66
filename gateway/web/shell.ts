// Where the user is: state that every view shares.

import { signal } from "@preact/signals";

export type Route = { view: "chat"; id: string | undefined } | { view: "fleet" };

export const route = signal<Route>(routeOf(location.hash));
/** The list of conversations on a narrow screen. */
export const drawer = signal(false);

addEventListener("hashchange", () => {
  route.value = routeOf(location.hash);
  drawer.value = false;
});

function routeOf(hash: string): Route {
  if (hash === "#/fleet") return { view: "fleet" };
  return { view: "chat", id: /^#\/chat\/([\w-]+)$/.exec(hash)?.[1] };
}

/** Without a new entry in the browser's history when `instead`. */
export function go(hash: string, options: { instead?: boolean } = {}): void {
  if (options.instead) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  route.value = routeOf(hash);
  drawer.value = false;
}
