// `cortex serve`: puts the parts together, opens the ports, starts a local neuron where none is configured, and takes
// everything down again in order.

import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { openApp, openMetricsApp } from "./app.ts";
import { Breakers } from "./fleet/breaker.ts";
import type { Config } from "./config.ts";
import { addressOf, ConfigError } from "./config.ts";
import { GatewayError } from "./errors.ts";
import { Drains } from "./fleet/drains.ts";
import { Fleet } from "./fleet/fleet.ts";
import type { Gateway } from "./gateway.ts";
import { newId } from "./ids.ts";
import { Ledger } from "./keys/ledger.ts";
import { LocalNeuron } from "./local-neuron.ts";
import { createLog } from "./telemetry/log.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { readPage } from "./page/page.ts";
import { openStore } from "./open-store.ts";
import { Poller } from "./fleet/poller.ts";
import { reload } from "./reload.ts";
import { Residency } from "./residency/residency.ts";
import { addNeuron, breakerOptions, doorOf, pollOptions, requestOptions } from "./settings.ts";
import type { Server } from "./servers/server.ts";
import type { Store } from "./store/store.ts";
import { StoredResponses } from "./requests/stored-responses.ts";
import type { Traces } from "./telemetry/traces.ts";
import { Traffic } from "./telemetry/traffic.ts";
import type { Stop } from "./wire/stop.ts";
import { openDispatcher } from "./wire/upstream.ts";
import { Usage } from "./keys/usage.ts";
import { packageRoot } from "./version.ts";

export interface ServeOptions extends Config {
  version: string;
  /** Plain lines for people: addresses, the local neuron's output. */
  print: (line: string) => void;
  /** Log lines; default: stderr. */
  write?: (line: string) => void;
  /** Called when serving has become pointless; the caller stops and exits with 1. */
  onFatal: (message: string) => void;
  /** The configuration as it is now; default: as it was. Throws ConfigError. */
  reread?: () => Config;
  /** The neuron's program; default: the one built beside the gateway. */
  neuronScript?: string;
  /** Shared with other gateways; default: what the configuration asks for. Closed at the end. */
  store?: Store;
  /** The built page; default: the one of this package. */
  pageFolder?: string;
  /** What pauses and idleness are counted by: monotonic, in ms; default: performance.now. */
  now?: () => number;
}

export interface Running {
  /** http://host:port of the API and of the metrics. */
  url: string;
  metricsUrl: string;
  gateway: Gateway;
  /** Reads the configuration again; false when it is wrong and the old one holds. */
  reload(): Promise<boolean>;
  /** Lets requests end for a while, then ends them, and closes everything. Idempotent. */
  stop(): Promise<void>;
}

const localName = "local";
/** For the error events of requests that did not end in time. */
const lastWordsMs = 500;

/** Throws ConfigError when a port cannot be opened or the local neuron's program is missing. */
export async function serve(options: ServeOptions): Promise<Running> {
  const { cortex, version, print } = options;
  const { gateway, poller } = openGateway(options, {
    store: options.store ?? (await openStore(options)),
    traces: await openTraces(options),
  });
  const local = cortex.neurons.length === 0 ? openLocalNeuron(options, gateway, poller) : undefined;
  const app = await openApp(gateway);
  const metricsApp = await openMetricsApp(gateway.metrics);
  let url: string;
  let metricsUrl: string;
  try {
    url = await listen(app, cortex.gateway.listen, "gateway.listen");
    metricsUrl = await listen(metricsApp, cortex.gateway.metrics_listen, "gateway.metrics_listen");
  } catch (error) {
    await Promise.all([app.close(), metricsApp.close(), gateway.dispatcher.close(), gateway.store.close()]);
    throw error;
  }
  for (const file of options.files) print(`configuration: ${file}`);
  print(`cortex ${version} listens on ${url}, metrics on ${metricsUrl}/metrics`);
  warnOfOpenDoors(options, print);
  await local?.start();
  await gateway.drains.start();
  await gateway.residency.start(pollOptions(cortex).intervalMs);
  poller.start();
  announce(gateway, url, print);
  let stopped: Promise<void> | undefined;
  const stop = () => (stopped ??= takeDown({ gateway, poller, local, apps: [app, metricsApp] }));
  const parts = { gateway, poller, config: options };
  return { url, metricsUrl, gateway, reload: () => reload(parts, options.reread ?? (() => options)), stop };
}

/** What is shared with other programs. */
interface Shared {
  store: Store;
  traces: Traces | undefined;
}

function openGateway(options: ServeOptions, { store, traces }: Shared): { gateway: Gateway; poller: Poller } {
  const { cortex, models, version, write, now = () => performance.now() } = options;
  const { gateway: set, poll, neurons } = cortex;
  const fleet = new Fleet(poll.strikes, now);
  const servers = new Map<string, Server>();
  for (const neuron of neurons) addNeuron({ fleet, servers }, neuron);
  const breakers = new Breakers(breakerOptions(cortex), now);
  const metrics = new Metrics(fleet, breakers);
  metrics.watchProcess();
  const log = createLog({ level: set.log_level, format: set.log_format, ...(write && { write }) });
  const dispatcher = openDispatcher();
  const poller = new Poller(fleet, dispatcher, log, { ...pollOptions(cortex), servers });
  const live = { options: requestOptions(cortex), models };
  const agreed = () => ({ ...live.options, models: live.models });
  const gateway = {
    ...{ store, responses: new StoredResponses(store, cortex.responses.keep_h * 3_600_000) },
    residency: new Residency({ fleet, poller, dispatcher, store, log, metrics, agreed }),
    ...{ fleet, servers, models, metrics, version, traffic: new Traffic(), log, traces },
    door: doorOf(options, log),
    ledger: new Ledger({ store, log, gateway: newId("gateway_") }),
    usage: new Usage({ store, log }),
    drains: new Drains(fleet, store, log),
    breakers,
    page: readPage(options.pageFolder ?? join(packageRoot(), "dist/gateway/web")),
    dispatcher,
    options: live.options,
    ...{ startedAt: Date.now(), draining: false, running: new Set<Stop>() },
    nudge: (name: string) => poller.nudge(name),
    refresh: (name: string) => poller.refresh(name),
  };
  return { gateway, poller };
}

/** OpenTelemetry's modules are only loaded where they are used. */
async function openTraces({ cortex: { traces }, version }: ServeOptions): Promise<Traces | undefined> {
  const { endpoint, ...settings } = traces;
  if (endpoint === undefined) return undefined;
  const { Traces } = await import("./telemetry/traces.ts");
  return new Traces({ ...settings, endpoint, version });
}

function openLocalNeuron(options: ServeOptions, { fleet, log }: Gateway, poller: Poller): LocalNeuron {
  const { model = "demo", port = 13131 } = options.cortex.local_neuron;
  fleet.add(localName, `http://127.0.0.1:${port}`, { supervised: true });
  return new LocalNeuron({
    script: options.neuronScript ?? join(import.meta.dirname, "../neuron/main.js"),
    ...{ model, port, log },
    onLine: (line) => options.print(`neuron | ${line}`),
    onStart: (endpoint) => {
      fleet.starting(localName, endpoint);
      poller.nudge(localName);
    },
    onDown: (reason) => fleet.down(localName, reason),
    isReached: () => fleet.neuron(localName).state === "healthy",
    onGivenUp: options.onFatal,
  });
}

async function listen(app: FastifyInstance, address: string, key: string): Promise<string> {
  const { host, port } = addressOf(address);
  try {
    await app.listen({ host, port });
  } catch (error) {
    const { code = "error" } = error as NodeJS.ErrnoException;
    const taken = code === "EADDRINUSE" ? "the port is taken; is another cortex running?" : code;
    throw new ConfigError(`${key}: cannot listen on ${address}: ${taken}`);
  }
  const bound = app.server.address() as AddressInfo;
  const name = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  return `http://${name}:${bound.port}`;
}

function warnOfOpenDoors({ cortex }: ServeOptions, print: (line: string) => void): void {
  const { listen, metrics_listen } = cortex.gateway;
  const open = cortex.auth.mode === "required" ? [metrics_listen] : [listen, metrics_listen];
  for (const address of open)
    if (!/^(localhost|127(\.\d+){3}|::1)$/.test(addressOf(address).host))
      print(`warning: ${address} can be reached from other machines, and nobody is asked for a key`);
}

/** One line once the first model answers, with something to try. */
function announce(gateway: Gateway, url: string, print: (line: string) => void): void {
  const first = () =>
    gateway.fleet.neurons.flatMap((n) => n.models).find((m) => m.status === "loaded" && m.url);
  void gateway.fleet
    .until(() => first() !== undefined, new AbortController().signal)
    .then(() => {
      const { id: model, capabilities = [] } = first() ?? {};
      const [path, asked] = capabilities.includes("embeddings")
        ? ["embeddings", { input: "Hello" }]
        : ["chat/completions", { messages: [{ role: "user", content: "Hello" }] }];
      const body = JSON.stringify({ model, ...asked });
      const at = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:");
      print(`ready: ${model} answers on ${at}/v1. Try:`);
      if (gateway.page) print(`  ${at} in a browser, or`);
      const key = gateway.door.mode === "required" ? ` -H "authorization: Bearer $KEY"` : "";
      print(`  curl ${at}/v1/${path}${key} -H 'content-type: application/json' -d '${body}'`);
    });
}

interface Parts {
  gateway: Gateway;
  poller: Poller;
  local: LocalNeuron | undefined;
  apps: FastifyInstance[];
}

async function takeDown({ gateway, poller, local, apps }: Parts): Promise<void> {
  gateway.draining = true;
  await drained(gateway, gateway.options.drainMs);
  for (const stop of gateway.running)
    stop.abort(new GatewayError("shutting_down", "The gateway is shutting down."));
  await drained(gateway, lastWordsMs);
  await gateway.residency.stop();
  await Promise.all([poller.stop(), local?.stop(), ...apps.map((app) => app.close())]);
  gateway.drains.stop();
  await gateway.dispatcher.close();
  await Promise.all([gateway.ledger.close(), gateway.usage.close()]);
  await Promise.all([gateway.store.close(), gateway.traces?.close()]);
}

/** Waits until no request is under way, or the time is up. */
async function drained({ running }: Gateway, ms: number): Promise<void> {
  const until = performance.now() + ms;
  while (running.size > 0 && performance.now() < until) await new Promise((wake) => setTimeout(wake, 20));
}
