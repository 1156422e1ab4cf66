import { expect, test } from "vitest";
import { expectSameRoutes, expectValid, routesOf } from "../../kit/openapi.fixture.ts";
import { openApp } from "../app.ts";
import { openGateway, openNeuron } from "../fixtures/gateway.fixture.ts";
import { gatewayApi, operations } from "./openapi.ts";

test("the document is valid, and served", async () => {
  const document = gatewayApi("1.2.3");
  await expectValid(document);
  const gateway = await openGateway({ neurons: { a: await openNeuron("demo") } });
  const served: unknown = await (await fetch(`${gateway.url}/openapi.json`)).json();
  expect(served).toEqual(JSON.parse(JSON.stringify(document)));
});

test("an operation for each route, a route for each operation", async () => {
  const { gateway } = await openGateway({ neurons: { a: await openNeuron("demo") } });
  const app = await openApp({ ...gateway, page: undefined });
  await app.ready();
  expectSameRoutes(routesOf(app), operations);
  await app.close();
});
