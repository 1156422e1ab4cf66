// tiles/matrices_128: 128 × 128 results to a workgroup of eight subgroups, 64 × 32 to each: half the reading, and half the
// scaling, for a product; for those that fill the device.
const SIDE = 128u;
const DEPTH = 32u;
const SUBGROUPS = 8u;
const PART_ROWS = 64u;
const PART_COLUMNS = 32u;
