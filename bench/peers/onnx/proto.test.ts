import { expect, test } from "vitest";
import { modelProto } from "./proto.ts";

// By hand from onnx.proto and protobuf's wire format; ONNX Runtime reads what the bench writes.
test("a graph of one node, a weight beside it and a constant, byte for byte", () => {
  const model = modelProto(
    {
      inputs: [{ name: "x", type: "f32", shape: [1, "n"] }],
      outputs: [{ name: "y", type: "f16", shape: [300] }],
      initializers: [{ name: "w", type: "u8", shape: [3], offset: 4096, bytes: 3 }],
      constants: [{ name: "c", values: [-1] }],
      nodes: [{ op: "Op", inputs: ["x"], outputs: ["y"], ints: { k: 5, p: [7] }, floats: { e: 1 } }],
    },
    "d",
  );
  const s = (text: string) => Buffer.from(text).toString("hex");
  const node = [
    ["0a01", s("x"), "1201", s("y"), "2202", s("Op")],
    ["2a08", "0a01", s("k"), "1805", "a00102"],
    ["2a08", "0a01", s("p"), "4007", "a00107"],
    ["2a0b", "0a01", s("e"), "150000803f", "a00101"],
    ["3a00"],
  ].flat();
  const beside = [
    ["6a0d", "0a08", s("location"), "1201", s("d")],
    ["6a0e", "0a06", s("offset"), "1204", s("4096")],
    ["6a0b", "0a06", s("length"), "1201", s("3")],
  ].flat();
  const weight = ["0803", "1002", "4201", s("w"), ...beside, "7001"];
  const constant = ["0801", "1007", "38ffffffffffffffffff01", "4201", s("c")];
  const input = ["0a01", s("x"), "120f", "0a0d", "0801", "1209", "0a020801", "0a0312016e"];
  const output = ["0a01", s("y"), "120b", "0a09", "080a", "1205", "0a0308ac02"];
  const graph = [
    ...field("0a", node),
    ...["1204", s("peer")],
    ...field("2a", weight),
    ...field("2a", constant),
    ...field("5a", input),
    ...field("62", output),
  ];
  const sets = ["42040a001015", "4211", "0a0d", s("com.microsoft"), "1001"];
  const expected = ["080a", ...field("3a", graph), ...sets].join("");
  expect(model.toString("hex")).toBe(expected);
});

/** A message of less than 16384 bytes. */
function field(tag: string, parts: readonly string[]): string[] {
  const length = parts.join("").length / 2;
  const size = length < 128 ? [length] : [(length & 127) | 128, length >> 7];
  return [tag, Buffer.from(size).toString("hex"), ...parts];
}
