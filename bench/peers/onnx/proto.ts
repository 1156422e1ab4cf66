// ONNX files, as far as a peer's graph needs: the messages of onnx.proto in protobuf's wire format. Weights lie beside
// the model in a file of their own, as protobuf holds no more than 2 GB.

export type ElementType = "f32" | "u8" | "i32" | "i64" | "f16";

/** TensorProto.DataType */
const elementTypes: Readonly<Record<ElementType, number>> = { f32: 1, u8: 2, i32: 6, i64: 7, f16: 10 };

export interface ValueInfo {
  name: string;
  type: ElementType;
  /** A text is a size that only a run knows. */
  shape: readonly (number | string)[];
}

/** A weight: bytes at an offset of the file beside the model. */
export interface Initializer {
  name: string;
  type: ElementType;
  shape: readonly number[];
  offset: number;
  bytes: number;
}

/** A list of integers in the model itself: a shape or an index. */
export interface Constant {
  name: string;
  values: readonly number[];
}

export interface Node {
  op: string;
  /** Of the operator set: "" is ONNX's own. */
  domain?: string;
  inputs: readonly string[];
  outputs: readonly string[];
  /** Integers, unless they are named in `floats`. */
  ints?: Readonly<Record<string, number | readonly number[]>>;
  floats?: Readonly<Record<string, number>>;
}

export interface Graph {
  inputs: readonly ValueInfo[];
  outputs: readonly ValueInfo[];
  initializers: readonly Initializer[];
  constants: readonly Constant[];
  nodes: readonly Node[];
}

/** A ModelProto. `weights`: the name of the file beside it. */
export function modelProto(graph: Graph, weights: string): Buffer {
  const sets = [opset("", 21), opset("com.microsoft", 1)];
  return Buffer.concat([integer(1, 10), message(7, graphProto(graph, weights)), ...sets]);
}

function opset(domain: string, version: number): Buffer {
  return message(8, Buffer.concat([text(1, domain), integer(2, version)]));
}

function graphProto({ nodes, initializers, constants, inputs, outputs }: Graph, weights: string): Buffer {
  return Buffer.concat([
    ...nodes.map((node) => message(1, nodeProto(node))),
    text(2, "peer"),
    ...initializers.map((tensor) => message(5, tensorProto(tensor, weights))),
    ...constants.map((constant) => message(5, constantProto(constant))),
    ...inputs.map((value) => message(11, valueInfoProto(value))),
    ...outputs.map((value) => message(12, valueInfoProto(value))),
  ]);
}

function nodeProto({ op, domain = "", inputs, outputs, ints = {}, floats = {} }: Node): Buffer {
  return Buffer.concat([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(ints).map(([name, value]) => message(5, intAttribute(name, value))),
    ...Object.entries(floats).map(([name, value]) => message(5, floatAttribute(name, value))),
    text(7, domain),
  ]);
}

/** AttributeProto: its type is 1 for a float, 2 for an integer, 7 for several. */
function intAttribute(name: string, value: number | readonly number[]): Buffer {
  const values = typeof value === "number" ? [integer(3, value)] : value.map((one) => integer(8, one));
  return Buffer.concat([text(1, name), ...values, integer(20, typeof value === "number" ? 2 : 7)]);
}

function floatAttribute(name: string, value: number): Buffer {
  const bits = Buffer.alloc(4);
  bits.writeFloatLE(value);
  return Buffer.concat([text(1, name), varint((2 << 3) | 5), bits, integer(20, 1)]);
}

function tensorProto({ name, type, shape, offset, bytes }: Initializer, weights: string): Buffer {
  const external = { location: weights, offset: String(offset), length: String(bytes) };
  return Buffer.concat([
    ...shape.map((size) => integer(1, size)),
    integer(2, elementTypes[type]),
    text(8, name),
    ...Object.entries(external).map(([key, value]) =>
      message(13, Buffer.concat([text(1, key), text(2, value)])),
    ),
    integer(14, 1), // EXTERNAL
  ]);
}

function constantProto({ name, values }: Constant): Buffer {
  return Buffer.concat([
    integer(1, values.length),
    integer(2, elementTypes.i64),
    ...values.map((value) => integer(7, value)),
    text(8, name),
  ]);
}

function valueInfoProto({ name, type, shape }: ValueInfo): Buffer {
  const sizes = shape.map((size) => message(1, typeof size === "number" ? integer(1, size) : text(2, size)));
  const tensor = Buffer.concat([integer(1, elementTypes[type]), message(2, Buffer.concat(sizes))]);
  return Buffer.concat([text(1, name), message(2, message(1, tensor))]);
}

function message(field: number, body: Uint8Array): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(body.length), body]);
}

function text(field: number, value: string): Buffer {
  return message(field, Buffer.from(value));
}

/** Negative numbers take ten bytes, as an int64 does. */
function integer(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, BigInt(value));
  for (; left >= 128n; left >>= 7n) bytes.push(Number(left & 127n) | 128);
  return Buffer.from([...bytes, Number(left)]);
}
