// One neuron: its state, the memory of its devices as bars, and its models.

import type { DeviceReport, NeuronReport, PlacedModel, TrafficReport } from "../../fleet/protocol.ts";
import type { Kind } from "../view/picker.tsx";
import { Dot, Progress } from "../view/picker.tsx";
import { memory, number, seconds } from "../view/words.ts";
import { pin, restart, unload } from "./act.ts";
import { shares } from "./scale.ts";

export interface NeuronProps {
  neuron: NeuronReport;
  /** Every model of the fleet: a model has the same colour wherever it is. */
  ids: readonly string[];
  traffic: readonly TrafficReport[];
}

export function Neuron({ neuron, ids, traffic }: NeuronProps) {
  const { name, hostname, version, reason, devices, models } = neuron;
  const { kind, text } = stateOf(neuron);
  const colour = (id: string) => `colour-${ids.indexOf(id) % 6}`;
  return (
    <article class="card neuron" aria-label={`Neuron ${name}`}>
      <header class="row">
        <h3>{name}</h3>
        <span class="state">
          <Dot kind={kind} /> {text}
        </span>
        <span class="soft push">
          {[hostname, version && `neuron ${version}`].filter((word) => word && word !== name).join(" · ")}
        </span>
        {neuron.state === "healthy" && neuron.kind === "neuron" && models.length > 0 && (
          <button type="button" class="quiet" aria-label={`Start ${name} anew`} onClick={() => restart(name)}>
            Start anew
          </button>
        )}
      </header>
      {reason !== undefined && neuron.state !== "healthy" && <p class="hint bad">{reason}</p>}
      {devices.map((device) => (
        <Device key={device.index} {...{ device, models, colour }} />
      ))}
      {models.length > 0 && <Placed {...{ neuron, models, traffic, colour }} />}
      {models.length === 0 && neuron.state === "healthy" && <p class="soft">No model is here.</p>}
    </article>
  );
}

function stateOf({ state, draining, circuit }: NeuronReport): { kind: Kind; text: string } {
  if (state === "healthy" && circuit === "open")
    return { kind: "bad", text: "left alone: its last requests failed" };
  if (state === "healthy" && circuit === "half_open") return { kind: "busy", text: "to be tried again" };
  if (state === "healthy")
    return draining ? { kind: "busy", text: "draining" } : { kind: "good", text: state };
  return state === "starting" ? { kind: "busy", text: state } : { kind: "bad", text: state };
}

interface DeviceProps {
  device: DeviceReport;
  models: readonly PlacedModel[];
  colour: (id: string) => string;
}

/** A model on several devices is taken to lie on each in equal parts: neurons tell only its whole. */
function Device({ device, models, colour }: DeviceProps) {
  const { index, name, kind, vram_total_mb: total, vram_used_mb: used } = device;
  const here = models
    .filter(({ devices, vram_used_mb }) => devices.includes(index) && vram_used_mb !== null)
    .map(({ id, devices, vram_used_mb }) => ({ id, mib: vram_used_mb! / devices.length, class: colour(id) }));
  const ours = here.reduce((sum, { mib }) => sum + mib, 0);
  const parts = [...here, { id: "other", mib: Math.max(0, (used ?? 0) - ours), class: "other" }].filter(
    ({ mib }) => mib > 0,
  );
  const sizes = shares(
    parts.map(({ mib }) => mib),
    total ?? 0,
  );
  const words = `${memory(Math.max(used ?? 0, ours))} used${total === null ? ", size unknown" : ` of ${memory(total)}`}`;
  return (
    <div class="device">
      <div class="row">
        <span>
          {name} {kind === "software" && <span class="tag">software</span>}
        </span>
        <span class="soft push">{words}</span>
      </div>
      <div class="memory" role="img" aria-label={`Memory of ${name}: ${words}`}>
        {parts.map((part, i) => (
          <span key={part.id} class={part.class} style={{ width: `${100 * sizes[i]!}%` }} />
        ))}
      </div>
      <ul class="legend">
        {parts.map((part) => (
          <li key={part.id}>
            <span class={`swatch ${part.class}`} /> {part.id} <span class="soft">{memory(part.mib)}</span>
          </li>
        ))}
      </ul>
    </div>
  );
}

interface PlacedProps {
  neuron: NeuronReport;
  models: readonly PlacedModel[];
  traffic: readonly TrafficReport[];
  colour: (id: string) => string;
}

function Placed({ neuron, models, traffic, colour }: PlacedProps) {
  return (
    <div class="scroll" role="region" aria-label={`Models on ${neuron.name}`} tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">Model</th>
            <th scope="col">Status</th>
            <th scope="col" class="to-right">
              In flight
            </th>
            <th scope="col" class="to-right">
              Queued
            </th>
            <th scope="col" class="to-right">
              Tokens/s
            </th>
            <th scope="col" class="to-right">
              Prompt tokens/s
            </th>
            <th scope="col" class="to-right">
              First token
            </th>
            <th scope="col" aria-label="Actions" />
          </tr>
        </thead>
        <tbody>
          {models.map((model) => (
            <tr key={model.id}>
              <th scope="row">
                <span class={`swatch ${colour(model.id)}`} /> {model.id}
              </th>
              <td>
                <Condition model={model} />
              </td>
              <td class="to-right">{model.in_flight}</td>
              <td class="to-right">{model.queue_depth}</td>
              <td class="to-right">{rate(model.tok_s_decode)}</td>
              <td class="to-right">{rate(model.tok_s_prefill)}</td>
              <td class="to-right">
                {firstToken(traffic.find((flow) => flow.model === model.id && flow.neuron === neuron.name))}
              </td>
              <td class="to-right actions">
                {neuron.kind === "neuron" && <Actions {...{ model, neuron: neuron.name }} />}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Actions({ model, neuron }: { model: PlacedModel; neuron: string }) {
  const { id, pinned, status } = model;
  const busy = model.in_flight + model.queue_depth > 0 || status === "loading";
  return (
    <>
      <button
        {...{
          type: "button",
          class: "quiet",
          "aria-pressed": pinned,
          "aria-label": `Keep ${id} on ${neuron}`,
        }}
        onClick={() => pin(id, neuron, !pinned)}
      >
        {pinned ? "Pinned" : "Pin"}
      </button>
      <button
        {...{ type: "button", class: "quiet", "aria-label": `Unload ${id} from ${neuron}` }}
        disabled={status === "unloading"}
        onClick={() => unload(id, neuron, busy)}
      >
        Unload
      </button>
    </>
  );
}

const kinds: Record<string, Kind> = { loaded: "good", loading: "busy", unloading: "busy", failed: "bad" };

function Condition({ model: { status, percent, phase, error, leaving } }: { model: PlacedModel }) {
  const words = [
    status,
    ...(leaving && status === "loaded" ? ["about to go"] : []),
    ...(phase && phase !== status ? [phase] : []),
  ].join(", ");
  return (
    <>
      <Dot kind={kinds[status] ?? "off"} /> {words} {percent !== undefined && `${percent} %`}
      {percent !== undefined && <Progress percent={percent} />}
      {error !== undefined && <span class="hint bad">{error}</span>}
    </>
  );
}

function rate(value: number | null): string {
  return value === null ? "–" : number(value);
}

/** The average since the gateway started. */
function firstToken(flow: TrafficReport | undefined): string {
  return flow && flow.first_tokens > 0 ? seconds((1000 * flow.first_token_secs) / flow.first_tokens) : "–";
}
