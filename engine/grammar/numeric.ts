// Numbers of a schema: its bounds and steps as a set of decimals.
import type { NumberSet, Part } from "./grammar.ts";
import { nothing } from "./grammar.ts";
import { anyInteger, anyNumber } from "./json.ts";
import { isEmptySet, placesOf, toUnits } from "./numbers.ts";
import { numberOf, wrong, type SchemaObject } from "./schemaKeywords.ts";

/** Digits behind the point, where only bounds are given. */
const usualPlaces = 6;
/** Digits before it. */
const usualDigits = 20;
/** Digits in all of a multiple: beyond these a double is not the number that was written. */
const exactDigits = 15;

/** `nothing` where the bounds leave no number. Errors: bad_request. */
export function numeric(schema: SchemaObject, integer: boolean, path: string): Part {
  const step = numberOf(schema, "multipleOf", path);
  if (step !== undefined && step <= 0) throw wrong(`${path}.multipleOf`, `expected more than 0, got ${step}`);
  const low = bound(schema, "minimum", "exclusiveMinimum", path);
  const high = bound(schema, "maximum", "exclusiveMaximum", path);
  if (step === undefined && !low && !high) return integer ? anyInteger : anyNumber;
  const places = step === undefined ? boundPlaces(integer, low, high) : placesOf(step);
  const set = {
    places,
    min: low && inside(low, places, 1n),
    max: high && inside(high, places, -1n),
    step: step === undefined ? 1n : toUnits(step, places, "up"),
    digits: step === undefined ? usualDigits : Math.max(1, exactDigits - places),
  };
  const whole = integer ? onlyWhole(set, low, high) : set;
  const enough = Math.max(
    whole.digits,
    digitsOf(whole.min, whole.places),
    digitsOf(whole.max && -whole.max, whole.places),
  );
  const final = { ...whole, digits: enough };
  return isEmptySet(final) ? nothing : { kind: "number", set: final };
}

interface Bound {
  value: number;
  exclusive: boolean;
}

/** Draft 4 says `exclusiveMinimum: true` beside `minimum`. */
function bound(schema: SchemaObject, plain: string, exclusive: string, path: string): Bound | undefined {
  const value = numberOf(schema, plain, path);
  if (typeof schema[exclusive] === "boolean")
    return value === undefined ? undefined : { value, exclusive: schema[exclusive] };
  const other = numberOf(schema, exclusive, path);
  if (other === undefined) return value === undefined ? undefined : { value, exclusive: false };
  const tighter = plain === "minimum" ? other >= (value ?? -Infinity) : other <= (value ?? Infinity);
  return tighter ? { value: other, exclusive: true } : { value: value!, exclusive: false };
}

function boundPlaces(integer: boolean, low: Bound | undefined, high: Bound | undefined): number {
  if (integer) return 0;
  const given = [low, high].map((each) => (each ? placesOf(each.value) + Number(each.exclusive) : 0));
  return Math.max(usualPlaces, ...given);
}

/** The bound itself or, where it is excluded or falls between two units, the next unit inside. */
function inside({ value, exclusive }: Bound, places: number, direction: 1n | -1n): bigint {
  const rounded = toUnits(value, places, direction === 1n ? "up" : "down");
  const exact = rounded === toUnits(value, places, direction === 1n ? "down" : "up");
  return exclusive && exact ? rounded + direction : rounded;
}

/** Whole numbers that are multiples of a step with digits behind the point: multiples of a whole step. */
function onlyWhole(set: NumberSet, low: Bound | undefined, high: Bound | undefined): NumberSet {
  const one = 10n ** BigInt(set.places);
  return {
    ...set,
    places: 0,
    min: low && inside(low, 0, 1n),
    max: high && inside(high, 0, -1n),
    step: (set.step * one) / greatestDivisor(set.step, one) / one,
  };
}

function greatestDivisor(a: bigint, b: bigint): bigint {
  return b === 0n ? a : greatestDivisor(b, a % b);
}

/** How many digits before the point a number above this bound needs. */
function digitsOf(min: bigint | undefined, places: number): number {
  return min === undefined || min <= 0n ? 0 : min.toString().length - places;
}
