// Colours on a terminal and nowhere else. The library's own choice also takes any CI for a terminal, and its logs are
// read by machines.
import { isatty } from "node:tty";
import pc from "picocolors";

const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
const terminal = isatty(1) && isatty(2) && TERM !== "dumb";

export const colour = pc.createColors(FORCE_COLOR ? FORCE_COLOR !== "0" : terminal && !NO_COLOR);
