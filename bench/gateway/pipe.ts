// The least that a proxy can do, to compare with: node pipe.js ORIGIN. It prints its port. Nothing is read of what
// passes; connections to the origin are kept.
import { Agent, createServer, request as ask } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

const origin = new URL(process.argv[2]!);
const agent = new Agent({ keepAlive: true });

const server = createServer((request, response) => {
  const { method, url, headers } = request;
  const { hostname, port } = origin;
  const asked = ask({ agent, hostname, port, path: url, method, headers }, (answer) => {
    response.writeHead(answer.statusCode!, answer.headers);
    pipeline(answer, response, () => undefined);
  });
  asked.on("error", () => response.destroy());
  pipeline(request, asked, () => undefined);
});
server.listen(0, "127.0.0.1", () => console.log((server.address() as AddressInfo).port));
