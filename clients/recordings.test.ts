// Requests as clients sent them, once more: every one is served by a neuron's own routes, in its dialect.

import { expect, onTestFinished, test } from "vitest";
import { openGateway } from "../gateway/fixtures/gateway.fixture.ts";
import type { MockNeuron } from "../gateway/fixtures/mock-neuron.fixture.ts";
import { emptyModelFolder, startDaemon } from "../neuron/daemon.fixture.ts";
import { FakeEngine, FakeModel } from "../neuron/fake-engine.fixture.ts";
import { onslaught } from "./onslaught.ts";
import { readRecordings } from "./recordings.ts";

test("recorded requests are served", async () => {
  const engine = new FakeEngine();
  engine.next = new FakeModel({ capabilities: ["text", "vision"] });
  const daemon = await startDaemon({ engine, load: false });
  onTestFinished(() => daemon.close());
  await daemon.models.load({ id: "demo", source: emptyModelFolder() });
  const gateway = await openGateway({ neurons: { a: { url: daemon.url } as MockNeuron } });
  const requests = readRecordings().map(({ client, case: name, method, path, headers, body }, number) => ({
    ...{ number, method, path, headers, story: [client, name] },
    body: Buffer.from(JSON.stringify(body)),
  }));
  const { complaints, served } = await onslaught(gateway.url, requests, 4);
  expect(complaints.map(({ mutant, problem }) => `${mutant.story.join(" ")}: ${problem}`)).toEqual([]);
  expect(served).toBe(requests.length);
  const agents = new Set(requests.map(({ story }) => story[0]));
  expect(agents.size).toBeGreaterThanOrEqual(8);
});
