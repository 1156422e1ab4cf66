// tiles/32: 32 × 32 results to a workgroup, 4 × 4 to an invocation; more workgroups for small products.
const QUADS = 1u;
