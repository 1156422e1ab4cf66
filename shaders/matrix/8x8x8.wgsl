// matrix/8x8x8: the device multiplies 8 × 8 by 8 × 8.
const ROWS_EACH = 8u;
const COLUMNS_EACH = 8u;
const DEPTH_EACH = 8u;
