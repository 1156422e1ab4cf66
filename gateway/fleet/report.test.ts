import { expect, test } from "vitest";
import * as v from "valibot";
import { ModelsConfig } from "../config.ts";
import { Fleet } from "./fleet.ts";
import type { Happening } from "./protocol.ts";
import { fleetReport } from "./report.ts";

const happenings: Happening[] = [
  { at: 3, what: "load_failed", neuron: "a", model: "m", reason: "/srv/m is no folder" },
  { at: 2, what: "restart_failed", neuron: "a", reason: "http://10.0.0.1 is away" },
  { at: 1, what: "unloaded", neuron: "a", model: "m", reason: "nobody used it" },
];

test.each([
  [true, ["/srv/m is no folder", "http://10.0.0.1 is away", "nobody used it"]],
  [false, [undefined, undefined, "nobody used it"]],
])("a neuron's words on what failed: told to admins (%j), our own to all", (tellsErrors, reasons) => {
  const report = fleetReport(new Fleet(3), {
    ...{
      version: "1.2.3",
      uptimeS: 1,
      models: v.parse(ModelsConfig, {}),
      traffic: [],
      loads: [],
      happenings,
    },
    ...{ circuitOf: () => "closed", isPinned: () => false },
    loadable: { ids: [], feasibleOn: () => [], limitOf: () => undefined },
    tellsErrors,
  });
  expect(report.happenings.map(({ reason }) => reason)).toEqual(reasons);
  expect(report.happenings.map(({ what }) => what)).toEqual(happenings.map(({ what }) => what));
});
