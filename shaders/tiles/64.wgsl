// tiles/64: 64 × 64 results to a workgroup, 8 × 8 to an invocation; for products that fill the device.
const QUADS = 2u;
