// matrix/16x16x16: the device multiplies 16 × 16 by 16 × 16.
const ROWS_EACH = 16u;
const COLUMNS_EACH = 16u;
const DEPTH_EACH = 16u;
