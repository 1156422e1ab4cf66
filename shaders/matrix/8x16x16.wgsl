// matrix/8x16x16: the device multiplies 8 × 16 by 16 × 16.
const ROWS_EACH = 8u;
const COLUMNS_EACH = 16u;
const DEPTH_EACH = 16u;
