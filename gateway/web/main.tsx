import { effect } from "@preact/signals";
import { render } from "preact";
import { watchFleet } from "./fleet/poll.ts";
import { openChats, openShown } from "./keep/chats.ts";
import { route } from "./shell.ts";
import "./style/base.css";
import "./style/chat.css";
import "./style/fleet.css";
import { App } from "./view/app.tsx";

render(<App />, document.body);

const look = watchFleet(() => route.value.view === "fleet");
effect(() => {
  if (route.value.view === "fleet") look();
});
await openChats();
effect(() => {
  void route.value;
  void openShown();
});
