// tiles/matrices_64: 64 × 64 results to a workgroup of four subgroups, 32 × 32 to each.
const SIDE = 64u;
const DEPTH = 32u;
const SUBGROUPS = 4u;
const PART_ROWS = 32u;
const PART_COLUMNS = 32u;
