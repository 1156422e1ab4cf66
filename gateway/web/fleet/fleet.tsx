// The fleet, live: how it goes on the whole, every neuron with its devices and models, and all names to ask for.

import type { FleetReport, ListedModel } from "../../fleet/protocol.ts";
import { Dot, statusOf } from "../view/picker.tsx";
import { askForKey, locked } from "../ask.ts";
import { DrawerButton } from "../view/sidebar.tsx";
import { context, duration } from "../view/words.ts";
import { load } from "./act.ts";
import { Events } from "./events.tsx";
import { counts, firstTokens, speeds } from "./history.ts";
import { Neuron } from "./neuron.tsx";
import { Plot } from "./plot.tsx";
import { fleet, reachable, samples } from "./poll.ts";

export function Fleet() {
  const report = fleet.value;
  return (
    <main class="fleet">
      <header class="bar row">
        <DrawerButton />
        <h2>Fleet</h2>
        {report && <Summary report={report} />}
      </header>
      <div class="board">
        {locked.value && (
          <p class="failure" role="alert">
            The gateway wants an API key.{" "}
            <button type="button" onClick={askForKey}>
              Enter it
            </button>
          </p>
        )}
        {!reachable.value && !locked.value && (
          <p class="failure" role="alert">
            The gateway does not answer; it is asked again every few seconds.
            {report && " What is shown is what it said last."}
          </p>
        )}
        {report ? <Board report={report} /> : reachable.value && <p class="soft">Asking the gateway…</p>}
      </div>
    </main>
  );
}

const words = { ok: "all is well", starting: "starting", degraded: "degraded" };
const kinds = { ok: "good", starting: "busy", degraded: "bad" } as const;

function Summary({ report: { status, neurons, uptime_secs, version } }: { report: FleetReport }) {
  const healthy = neurons.filter(({ state }) => state === "healthy").length;
  return (
    <p class="summary" role="status">
      <span class="state">
        <Dot kind={kinds[status]} /> {words[status]}
      </span>
      <span class="soft">
        {healthy} of {neurons.length} {neurons.length === 1 ? "neuron" : "neurons"} healthy
      </span>
      <span class="soft wide-only">
        cortex {version}, up {duration(uptime_secs)}
      </span>
    </p>
  );
}

function Board({ report }: { report: FleetReport }) {
  const all = samples.value;
  const ids = [...new Set(report.neurons.flatMap(({ models }) => models.map(({ id }) => id)))].sort();
  return (
    <>
      <section class="plots" aria-label="Load">
        <Plot
          {...{ title: "Answers", unit: "tokens/s", series: [{ name: "all models", points: speeds(all) }] }}
        />
        <Plot
          {...{ title: "Time to first token", unit: "s" }}
          series={[{ name: "average", points: firstTokens(all) }]}
        />
        <Plot
          {...{ title: "Requests", unit: "", whole: true }}
          series={[
            { name: "in flight", points: counts(all, "inFlight") },
            { name: "queued", points: counts(all, "queued") },
          ]}
        />
      </section>
      <section class="neurons" aria-label="Neurons">
        {report.neurons.map((neuron) => (
          <Neuron key={neuron.name} {...{ neuron, ids, traffic: report.traffic }} />
        ))}
      </section>
      <Models models={report.models} />
      <Events loads={report.loads} happenings={report.happenings} />
    </>
  );
}

function Models({ models }: { models: readonly ListedModel[] }) {
  return (
    <section class="card" aria-label="Models">
      <h3>Models</h3>
      {models.length === 0 && <p class="soft">No neuron has a model, and models.toml names none.</p>}
      {models.length > 0 && (
        <div class="scroll" role="region" aria-label="Table of models" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Status</th>
                <th scope="col">Reads</th>
                <th scope="col">Can</th>
                <th scope="col" class="to-right">
                  Context
                </th>
                <th scope="col" aria-label="Actions" />
              </tr>
            </thead>
            <tbody>
              {models.map((model) => (
                <Row key={model.id} model={model} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ model }: { model: ListedModel }) {
  const { id, alias_of, capabilities, tool_call, reasoning, limit, feasible_on } = model;
  const { kind, text } = statusOf(model);
  const can = [...(tool_call ? ["tools"] : []), ...(reasoning ? ["reasoning"] : [])];
  const reads = capabilities.map((capability) => (capability === "vision" ? "pictures" : capability));
  return (
    <tr>
      <th scope="row">
        {id} {alias_of !== undefined && <span class="soft">→ {alias_of}</span>}
      </th>
      <td>
        <Dot kind={kind} /> {text}
      </td>
      <td>{reads.join(", ") || "–"}</td>
      <td>{can.join(", ") || "–"}</td>
      <td class="to-right">{limit ? context(limit.context) : "–"}</td>
      <td class="to-right">
        {alias_of === undefined && feasible_on.length > 0 && (kind === "off" || kind === "bad") && (
          <button type="button" aria-label={`Load ${id}`} onClick={() => load(id)}>
            Load
          </button>
        )}
      </td>
    </tr>
  );
}
