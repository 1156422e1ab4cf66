// tiles/matrices_128_emulated: tiles/matrices_128 by half as many k at a time, which have room as floats (matrix/emulated).
const SIDE = 128u;
const DEPTH = 16u;
const SUBGROUPS = 8u;
const PART_ROWS = 64u;
const PART_COLUMNS = 32u;
