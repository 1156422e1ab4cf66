// Sets of decimal numbers, followed digit by digit: whether what is written so far can still become a number of the
// set. All arithmetic is on whole numbers of units of 10^-places, so it is exact.
import type { NumberSet } from "./grammar.ts";

/** What has been written of a number. */
interface Written {
  negative: boolean;
  /** Digits before the point. */
  whole: string;
  /** Digits behind it; undefined before the point. */
  behind: string | undefined;
}

function read(text: string): Written {
  const negative = text.startsWith("-");
  const [whole, behind] = (negative ? text.slice(1) : text).split(".");
  return { negative, whole: whole!, behind };
}

/** Whether the text is a number of the set. */
export function isIn(set: NumberSet, text: string): boolean {
  const { negative, whole, behind } = read(text);
  if (whole === "" || behind === "") return false;
  const size = units(set, whole, behind ?? "");
  return hasBetween(set, negative, size, size);
}

/** Whether the text, one byte longer, can still become a number of the set. */
export function mayContinue(set: NumberSet, text: string, character: string): boolean {
  const { negative, whole, behind } = read(text);
  if (character === "-")
    return text === "" && canBecome(set, { negative: true, whole: "", behind: undefined });
  if (character === ".")
    return (
      set.places > 0 &&
      whole !== "" &&
      behind === undefined &&
      canBecome(set, { negative, whole, behind: "" })
    );
  if (character < "0" || character > "9") return false;
  if (behind === undefined)
    return (
      whole !== "0" &&
      whole.length < set.digits &&
      canBecome(set, { negative, whole: whole + character, behind })
    );
  return behind.length < set.places && canBecome(set, { negative, whole, behind: behind + character });
}

/** Whether the set has a number at all. */
export function isEmptySet(set: NumberSet): boolean {
  const most = 10n ** BigInt(set.digits + set.places) - 1n;
  return !hasBetween(set, false, 0n, most) && !hasBetween(set, true, 0n, most);
}

function canBecome(set: NumberSet, { negative, whole, behind }: Written): boolean {
  const one = 10n ** BigInt(set.places);
  if (behind !== undefined) {
    const low = units(set, whole, behind);
    const room = 10n ** BigInt(set.places - behind.length);
    // A point must be followed by a digit, which may be 0.
    return hasBetween(set, negative, low, low + room - 1n);
  }
  if (whole === "") return hasBetween(set, negative, 0n, 10n ** BigInt(set.digits) * one - 1n);
  for (let more = 0; more <= (whole === "0" ? 0 : set.digits - whole.length); more++) {
    const power = 10n ** BigInt(more);
    const low = BigInt(whole) * power;
    if (hasBetween(set, negative, low * one, (low + power) * one - 1n)) return true;
  }
  return false;
}

function units({ places }: NumberSet, whole: string, behind: string): bigint {
  return BigInt(whole + behind.padEnd(places, "0"));
}

/** Whether the set has a number whose size is from low to high; minus zero counts as none. */
function hasBetween({ min, max, step }: NumberSet, negative: boolean, low: bigint, high: bigint): boolean {
  const [from, to] = negative ? [-high, low === 0n ? -1n : -low] : [low, high];
  const first = min !== undefined && min > from ? min : from;
  const last = max !== undefined && max < to ? max : to;
  return first <= last && multipleFrom(first, step) <= last;
}

/** The least multiple of `step` that is not below. */
function multipleFrom(value: bigint, step: bigint): bigint {
  const rest = ((value % step) + step) % step;
  return rest === 0n ? value : value + step - rest;
}

/** The number as a whole number of units of 10^-places, rounded up or down where it is none. */
export function toUnits(value: number, places: number, round: "up" | "down"): bigint {
  const [digits, exponent] = decimal(value);
  const shift = exponent + places;
  if (shift >= 0) return digits * 10n ** BigInt(shift);
  const divisor = 10n ** BigInt(-shift);
  const down = (digits - (((digits % divisor) + divisor) % divisor)) / divisor;
  return round === "down" || down * divisor === digits ? down : down + 1n;
}

/** How many digits behind the point the number has. */
export function placesOf(value: number): number {
  return Math.max(0, -decimal(value)[1]);
}

/** value = digits · 10^exponent, as JavaScript writes it. */
function decimal(value: number): [digits: bigint, exponent: number] {
  const [mantissa, exponent] = value.toString().split("e");
  const [whole, behind = ""] = mantissa!.split(".");
  return [BigInt(whole! + behind), Number(exponent ?? 0) - behind.length];
}
