// What is being loaded, and what was done to the fleet lately.

import type { Happening, LoadReport } from "../../fleet/protocol.ts";
import { Dot, Progress } from "../view/picker.tsx";
import { duration, seconds } from "../view/words.ts";

export function Events({ loads, happenings }: { loads: LoadReport[]; happenings: Happening[] }) {
  if (loads.length + happenings.length === 0) return null;
  return (
    <section class="card" aria-label="What happens">
      <h3>What happens</h3>
      <ul class="events">
        {loads.map((load) => (
          <li key={`${load.model} ${load.neuron}`}>
            <Dot kind="busy" /> {loadText(load)}
            {load.percent !== undefined && <Progress percent={load.percent} />}
          </li>
        ))}
        {happenings.slice(0, 12).map((happening, i) => (
          <li key={`${happening.at} ${i}`}>
            <Dot kind={/failed/.test(happening.what) ? "bad" : "off"} /> {happeningText(happening)}{" "}
            <time class="soft" dateTime={new Date(happening.at * 1000).toISOString()}>
              {ago(happening.at)}
            </time>
          </li>
        ))}
      </ul>
    </section>
  );
}

function loadText({ model, neuron, phase, percent, waiting, secs }: LoadReport): string {
  const where = neuron === undefined ? "" : ` on ${neuron}`;
  const doing = {
    waiting: "waits for its turn",
    "making room": "waits for room",
    loading: "is being loaded",
  };
  const far = percent === undefined ? "" : `, ${percent} %`;
  const who = waiting === 0 ? "" : `; ${waiting} ${waiting === 1 ? "request waits" : "requests wait"} for it`;
  return `${model} ${doing[phase]}${where}${far}, since ${duration(secs)}${who}`;
}

function happeningText({ what, model, neuron, secs, reason }: Happening): string {
  const took = secs === undefined ? "" : ` in ${seconds(secs * 1000)}`;
  const why = reason === undefined ? "" : `: ${reason}`;
  const texts = {
    loaded: `${model} was loaded on ${neuron}${took}`,
    load_failed: `${model} could not be loaded on ${neuron}${why}`,
    unloaded: `${model} was unloaded from ${neuron}${why}`,
    restarted: `The device of ${neuron} was started anew${took}`,
    restart_failed: `The device of ${neuron} could not be started anew${why}`,
  };
  return texts[what];
}

function ago(at: number): string {
  return `${duration(Math.max(0, Date.now() / 1000 - at))} ago`;
}
