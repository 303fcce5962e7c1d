/** Heads and their measures: decoded, filtered and put in order. Pure functions. */

import { type Said, type View, type WireArray, decodeFloats, decodeInts } from "./shared";

export interface Head {
  layer: number;
  head: number;
}

/** How heads are sorted and which are kept; the same in Python. */
export interface Order {
  measure: string;
  least: number | null;
  count: number | null;
  ascending: boolean;
  /** Whether the attention panel's thumbnails follow. */
  thumbnails: boolean;
}

export const USUAL: Order = { measure: "previous", least: null, count: null, ascending: false, thumbnails: false };

export interface MeasuresState extends View {
  measures: string[];
  /** (measure, layer, head), NaN where there is no value. */
  values: WireArray;
  layers: number;
  heads_per_layer: number[];
  /** How many query rows went into the means, of how many. */
  rows: number;
  all_rows: number;
  /** How many texts the probe has. */
  texts: number;
  probe: { state: "pending" | "ready" | "none"; why: Said; edited: boolean };
}

export interface Measured extends Omit<MeasuresState, "values"> {
  /** Every head there is, layer by layer. */
  all: Head[];
  valueOf: (measure: string, at: Head) => number;
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readMeasures(view: MeasuresState): Measured {
  const { values, shape } = decodeFloats(view.values, "view.values", 3);
  const [measures = 0, layers = 0, heads = 0] = shape;
  if (measures !== view.measures.length || layers !== view.heads_per_layer.length) {
    throw new Error(`view.values is of ${shape.join(" x ")}, not of ${view.measures.length} measures.`);
  }
  return {
    ...view,
    all: view.heads_per_layer.flatMap((count, layer) => Array.from({ length: count }, (_, head) => ({ layer, head }))),
    valueOf: (measure, { layer, head }) => {
      const place = view.measures.indexOf(measure);
      return place < 0 ? NaN : (values[(place * layers + layer) * heads + head] ?? NaN);
    },
  };
}

/** The heads that an order keeps, in that order; equal ones by layer and head. Heads without a value are left out. */
export function ranked(measured: Measured, order: Order): Head[] {
  const least = order.least === null ? -Infinity : Math.fround(order.least);
  const known = measured.all
    .map((at) => ({ at, value: measured.valueOf(order.measure, at) }))
    .filter(({ value }) => value >= least)
    .sort((one, other) => (order.ascending ? one.value - other.value : other.value - one.value));
  return known.slice(0, order.count ?? known.length).map(({ at }) => at);
}

/** The smallest and largest value of a measure; `null` where no head has one. */
export function rangeOf(measured: Measured, measure: string): { least: number; most: number } | null {
  const values = measured.all.map((at) => measured.valueOf(measure, at)).filter((value) => Number.isFinite(value));
  return values.length === 0 ? null : { least: Math.min(...values), most: Math.max(...values) };
}

/** Decodes pairs of layer and head. */
export function readHeads(array: WireArray, name: string): Head[] {
  const { values } = decodeInts(array, name, 2);
  return Array.from({ length: values.length / 2 }, (_, at) => ({
    layer: values[at * 2] as number,
    head: values[at * 2 + 1] as number,
  }));
}

/** Heads as they are called for short: layer.head. */
export function shortName({ layer, head }: Head): string {
  return `${layer}.${head}`;
}

const PROBE = "probe_";

/** Whether a measure is of the probe, and not of the prompt. */
export function isOfProbe(measure: string): boolean {
  return measure.startsWith(PROBE);
}

/** The measure's name whatever it is measured on. */
export function plain(measure: string): string {
  return measure.replace(PROBE, "");
}
