// What operators copy from here, held against the code and, where they are installed, against its own tools' linters.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { describe, expect, onTestFinished, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { metricLines } from "../docs/generate/metrics.ts";
import { loadConfig as cortexConfig } from "../gateway/config.ts";
import { operations as gatewayRoutes } from "../gateway/routes/openapi.ts";
import { loadConfig as neuronConfig } from "../neuron/config.ts";
import { operations as neuronRoutes } from "../neuron/openapi.ts";

const here = import.meta.dirname;
const read = (path: string) => readFileSync(join(here, path), "utf8");
const has = (tool: string) => !spawnSync(tool, ["--version"]).error;

// eslint-disable-next-line @typescript-eslint/no-explicit-any
type Tree = any;

describe("systemd", () => {
  const units = ["systemd/neuron.service", "systemd/cortex.service"];

  test.each(units)("%s is hardened, and starts a command of this package", (file) => {
    const text = read(file);
    const wanted = ["NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "DevicePolicy=closed"];
    for (const line of [...wanted, "CapabilityBoundingSet=", "RestrictNamespaces=yes"])
      expect(text.split("\n")).toContain(line);
    const { bin } = JSON.parse(read("../package.json")) as { bin: Record<string, string> };
    expect(Object.keys(bin)).toContain(/^ExecStart=(\w+) /m.exec(text)![1]);
    const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(text)![1]);
    expect(seconds).toBeGreaterThan(neuronConfig({}).config.http.drain_s + 6);
  });

  test.skipIf(!has("systemd-analyze")).each(units)("%s passes systemd-analyze", (file) => {
    const folder = mkdtempSync(join(tmpdir(), "units-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const unit = join(folder, file.split("/")[1]!);
    // The package is not installed here: any program will do in its place.
    writeFileSync(unit, read(file).replace(/^ExecStart=\w+/m, "ExecStart=/bin/true"));
    const verified = spawnSync("systemd-analyze", ["verify", "--man=no", unit], { encoding: "utf8" });
    expect([verified.status, verified.stderr]).toEqual([0, ""]);
    const args = ["security", "--offline=true", "--threshold=25", unit];
    expect(spawnSync("systemd-analyze", args, { encoding: "utf8" }).status).toBe(0);
  });

  test("the accounts are those of the units", () => {
    const accounts = read("systemd/cortex-neuron.sysusers");
    for (const file of units)
      expect(accounts).toMatch(new RegExp(`^u ${/^User=(\w+)$/m.exec(read(file))![1]} `, "m"));
  });
});

describe("containers", () => {
  test.each([
    ["neuron", "NEURON_", 13131],
    ["cortex", "CORTEX_", 31313],
  ] as const)("%s: its command, its port, variables that exist", (name, prefix, port) => {
    const text = read(`container/${name}.Containerfile`);
    expect(text).toContain(`ENTRYPOINT ["${name}"]`);
    expect(text).toMatch(new RegExp(`^EXPOSE ${port}\\b`, "m"));
    expect(text).toMatch(/^USER \d+$/m);
    const set = [...text.matchAll(/^(?:ENV)? +((?:NEURON|CORTEX)_\w+)=(\S+)/gm)];
    const env = Object.fromEntries(set.map(([, key, value]) => [key!, value!]));
    expect(Object.keys(env).every((key) => key.startsWith(prefix))).toBe(true);
    if (name === "neuron") expect(neuronConfig({ env }).config.host).toBe("0.0.0.0");
    else expect(cortexConfig({ env, folder: here }).cortex.gateway.listen).toBe("0.0.0.0:31313");
  });
});

describe("kubernetes", () => {
  const files = readdirSync(join(here, "kubernetes"), { recursive: true, encoding: "utf8" });
  const documents = files
    .filter((file) => file.endsWith(".yaml"))
    .flatMap((file) =>
      parseAllDocuments(read(`kubernetes/${file}`)).map((d) => ({ file, tree: d.toJS() as Tree })),
    );

  test("every file is YAML of a kind", () => {
    expect(documents.length).toBeGreaterThan(10);
    for (const { file, tree } of documents) expect([file, typeof tree.kind]).toEqual([file, "string"]);
  });

  const workloads = documents.filter(({ tree }) => /^(Deployment|DaemonSet|StatefulSet)$/.test(tree.kind));

  test.each(workloads)("$file: selectors, no root, no privileges, limits", ({ tree }) => {
    const { selector, template } = tree.spec;
    expect(template.metadata.labels).toMatchObject(selector.matchLabels);
    expect(template.spec.securityContext.runAsNonRoot).toBe(true);
    for (const { securityContext } of template.spec.containers)
      expect(securityContext).toMatchObject({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ["ALL"] },
      });
  });

  test.each([
    ["gateway.yaml", gatewayRoutes],
    ["neuron.yaml", neuronRoutes],
  ])("%s asks routes that exist, on ports that are open", (file, routes) => {
    const { tree } = documents.find((document) => document.file === file)!;
    const [container] = tree.spec.template.spec.containers;
    for (const probe of [container.readinessProbe, container.livenessProbe]) {
      expect(routes.map(({ route }) => route)).toContain(`GET ${probe.httpGet.path}`);
      expect(container.ports.map(({ name }: Tree) => name)).toContain(probe.httpGet.port);
    }
  });

  test("its settings are settings, and leave time to drain", () => {
    const { cortex, models } = cortexConfig({ file: "kubernetes/config/cortex.toml", env: {}, folder: here });
    const { config } = neuronConfig({ file: join(here, "kubernetes/config/neuron.toml") });
    expect([cortex.state, cortex.neurons.length, models.models.length]).toEqual(["nats://nats:4222", 1, 1]);
    for (const { tree } of workloads.filter(({ tree: { kind } }) => kind !== "StatefulSet"))
      expect(tree.spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(
        Math.max(cortex.gateway.drain_s, config.http.drain_s) + 6,
      );
  });

  const variants = ["components/dri", "components/nvidia", "components/monitoring"];

  test.skipIf(!has("kubectl")).each(variants)("kustomize builds it with %s", (component) => {
    const folder = mkdtempSync(join(tmpdir(), "kustomize-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    spawnSync("cp", ["-r", join(here, "kubernetes"), folder]);
    const file = join(folder, "kubernetes/kustomization.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace("- components/dri", `- ${component}`));
    const built = spawnSync("kubectl", ["kustomize", join(folder, "kubernetes")], { encoding: "utf8" });
    expect(built.stderr).toBe("");
    const kinds = parseAllDocuments(built.stdout).map((d) => (d.toJS() as Tree).kind);
    expect(kinds).toEqual(expect.arrayContaining(["Deployment", "DaemonSet", "StatefulSet", "ConfigMap"]));
  });
});

describe("monitoring", () => {
  const dashboard = JSON.parse(read("monitoring/dashboard.json")) as Tree;
  const rules = (parse(read("monitoring/rules.yaml")) as Tree).groups.flatMap(
    (group: Tree) => group.rules,
  ) as Tree[];
  const panels = (dashboard.panels as Tree[]).filter(({ type }) => type !== "row");
  const queries: [string, string][] = [
    ...panels.flatMap(({ title, targets }) =>
      targets.map(({ expr }: Tree) => [title, expr] as [string, string]),
    ),
    ...rules.map(({ alert, expr }) => [alert, expr] as [string, string]),
  ];

  test.each(queries)("%s: %s", (_, expr) => {
    const text = expr.replaceAll("$__rate_interval", "5m").replaceAll("$model", ".*");
    expect(problemsOf(text)).toEqual([]);
    expect(unknownMetrics(text)).toEqual([]);
  });

  test("the checks see a wrong query", () => {
    expect(problemsOf("sum(rate(cortex_requests_total[5m])")).not.toEqual([]);
    expect(unknownMetrics("sum(cortex_gone_total)")).toEqual(["cortex_gone_total"]);
    expect(unknownMetrics('cortex_requests_total{colour="red"}')).toEqual(["cortex_requests_total{colour}"]);
    expect(unknownMetrics("sum by (colour) (cortex_requests_total)")).toEqual(["by colour"]);
  });

  test("panels have a place of their own, a title and a sentence", () => {
    const cells = new Set<string>();
    for (const { title, description, gridPos } of panels) {
      expect([title, description]).toEqual([expect.stringMatching(/\w/), expect.stringMatching(/\.$/)]);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x} ${y}`)).toBe(false);
          cells.add(`${x} ${y}`);
        }
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24);
    }
    const ids = (dashboard.panels as Tree[]).map(({ id }) => id as number);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("an alert says what is wrong and what to look at", () => {
    for (const { annotations, labels } of rules) {
      expect(annotations.summary).toMatch(/\.$/);
      expect(annotations.description).toMatch(/\.$/);
      expect(["page", "ticket"]).toContain(labels.severity);
    }
  });

  test.skipIf(!has("promtool"))("promtool agrees", () => {
    expect(spawnSync("promtool", ["check", "rules", join(here, "monitoring/rules.yaml")]).status).toBe(0);
  });
});

/** Where the grammar found an error. */
function problemsOf(query: string): string[] {
  const found: string[] = [];
  parser.parse(query).iterate({
    enter: ({ type, from, to }) => void (type.isError && found.push(`${from}: ${query.slice(from, to)}`)),
  });
  return found;
}

/** Names and labels that no daemon has. */
function unknownMetrics(query: string): string[] {
  const { cortex, neuron } = metricLines();
  const known = new Map([...cortex, ...neuron].map((metric) => [metric.name, metric]));
  const always = ["le", "instance", "job"];
  const found: string[] = [];
  const labelsSeen = new Set(always);
  for (const [, name, suffix = "", matchers = ""] of query.matchAll(
    /\b((?:cortex|neuron)_\w+?)(_bucket|_sum|_count)?\b(?:\{([^}]*)\})?(?![\w])/g,
  )) {
    const metric = known.get(name!);
    if (!metric || (suffix !== "" && String(metric.type) !== "histogram")) found.push(`${name}${suffix}`);
    for (const label of metric?.labels ?? []) labelsSeen.add(label);
    for (const [, label] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (metric && !metric.labels.includes(label!)) found.push(`${name}{${label}}`);
  }
  for (const [, list] of query.matchAll(/\bby \(([^)]*)\)/g))
    for (const label of list!.split(/,\s*/)) if (!labelsSeen.has(label)) found.push(`by ${label}`);
  return found;
}
