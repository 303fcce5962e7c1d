/** The weights of all heads as a saved page carries them; see widgets/attention_page.py. */

import { type WireArray, decodeBytes, decodeFloats, decodeInts } from "./shared";
import type { Combine, Matrix } from "./attention-state";

export interface Carried {
  stack: string;
  kind: string;
  layers: number[];
  heads: number;
  row_start: number[];
  col_start: number[];
  block: number;
  /** Whether only the pairs whose key is not later than their query are there. */
  causal: boolean;
  /** (layers, heads, keys, queries), flat: 255 is the head's largest weight. */
  levels: WireArray;
  /** (layers, heads), flat: that weight. */
  scale: WireArray;
  /** (layers, heads, queries), flat: the weight of the first key, and what a row's weights lack to one. */
  first: WireArray;
  rest: WireArray;
  /** (layers, queries, 2), flat: the first key that a row may see, and the one after the last. */
  seen: WireArray;
  sinks: boolean[];
  /** The largest error of a weight. */
  error: number;
}

/** What is shown of a picture. */
export interface Wanted {
  request: number;
  stack: string;
  kind: string;
  layer: number;
  heads: number[];
  combine: Combine;
  hideSink: boolean;
}

/** Where the weights of a layer's heads begin; `null` where the page does not carry them. */
function placeOf(carried: Carried | null | undefined, wanted: Omit<Wanted, "request" | "combine" | "hideSink">): number | null {
  const place = carried?.layers.indexOf(wanted.layer) ?? -1;
  const same = carried?.stack === wanted.stack && carried.kind === wanted.kind;
  if (carried == null || place < 0 || !same) return null;
  return wanted.heads.every((head) => head >= 0 && head < carried.heads) ? place : null;
}

/** One head's weights, (query, key). */
function mapOf({ row_start, col_start, causal, levels, scale, heads }: Carried, place: number, head: number): Float32Array {
  const [rows, cols] = [row_start.length, col_start.length];
  const pairs = causal ? (cols * (cols + 1)) / 2 : rows * cols;
  const index = place * heads + head;
  const bytes = decodeBytes(levels, "carried.levels", 1).values.subarray(index * pairs, (index + 1) * pairs);
  const most = decodeFloats(scale, "carried.scale", 1).values[index];
  if (bytes.length !== pairs || most === undefined) throw new Error("carried.levels does not hold all of its heads.");
  const weights = new Float32Array(rows * cols);
  let next = 0;
  for (let key = 0; key < cols; key++) {
    for (let query = causal ? key : 0; query < rows; query++) weights[query * cols + key] = (bytes[next++]! / 255) * most;
  }
  return weights;
}

/** Several heads' values as one: their mean, or the largest. */
function together(each: readonly Float32Array[], combine: Combine): Float32Array {
  const found = Float32Array.from(each[0]!);
  for (const values of each.slice(1)) {
    values.forEach((value, at) => (found[at] = combine === "max" ? Math.max(found[at]!, value) : found[at]! + value));
  }
  return combine === "max" ? found : found.map((value) => value / each.length);
}

const wired = (values: Float32Array | Int32Array, shape: number[]): WireArray => ({
  data: new DataView(values.buffer, values.byteOffset, values.byteLength),
  dtype: values instanceof Int32Array ? "int32" : "float32",
  shape,
});

/**
 * The chosen heads' map from what the page carries; `null` where it does not carry it. Of blocks of weights neither a
 * mean of heads nor what hides the first key can be told.
 */
export function carriedMatrix(carried: Carried | null | undefined, wanted: Wanted): Matrix | null {
  const { request, layer, heads, combine, hideSink } = wanted;
  const place = placeOf(carried, wanted);
  if (carried == null || place === null) return null;
  const { row_start, col_start, block } = carried;
  if (block > 1 && (hideSink || (heads.length > 1 && combine === "mean"))) return null;
  const queries = decodeFloats(carried.first, "carried.first", 1).values.length / (carried.layers.length * carried.heads);
  const edge = (values: WireArray, name: string): WireArray => {
    const all = decodeFloats(values, name, 1).values;
    const from = (head: number): number => (place * carried.heads + head) * queries;
    return wired(together(heads.map((head) => all.slice(from(head), from(head) + queries)), combine), [queries]);
  };
  const seen = decodeInts(carried.seen, "carried.seen", 1).values.slice(place * queries * 2, (place + 1) * queries * 2);
  const weights = together(heads.map((head) => mapOf(carried, place, head)), combine);
  return {
    ...{ request, layer, head: heads[0]!, heads, combine, hide_sink: hideSink, row_start, col_start, block },
    data: wired(weights, [row_start.length, col_start.length]),
    first: edge(carried.first, "carried.first"),
    rest: edge(carried.rest, "carried.rest"),
    seen: wired(seen, [queries, 2]),
    sinks: carried.sinks[place] === true,
    not_numbers: 0,
  };
}

/**
 * What one token attends to (`side` "query"), or how much each attends to it ("key"): the weights as (head, position),
 * who sees whom, and the largest weights of the heads' maps and of their mean. `null` where the page does not carry it.
 */
export function carriedSide(
  carried: Carried | null | undefined,
  wanted: { stack: string; kind: string; layer: number; heads: number[] },
  side: "query" | "key",
  index: number,
): { weights: Float32Array; visible: Uint8Array; largest: Float32Array } | null {
  const place = placeOf(carried, wanted);
  if (carried == null || place === null || carried.block > 1 || wanted.heads.length === 0) return null;
  const [rows, cols] = [carried.row_start.length, carried.col_start.length];
  const maps = wanted.heads.map((head) => mapOf(carried, place, head));
  const positions = side === "query" ? cols : rows;
  const at = (position: number): [query: number, key: number] => (side === "query" ? [index, position] : [position, index]);
  const weights = new Float32Array(maps.length * positions);
  const seen = decodeInts(carried.seen, "carried.seen", 1).values.subarray(place * rows * 2, (place + 1) * rows * 2);
  const visible = new Uint8Array(positions);
  for (let position = 0; position < positions; position++) {
    const [query, key] = at(position);
    maps.forEach((map, head) => (weights[head * positions + position] = map[query * cols + key]!));
    visible[position] = Number(key >= seen[query * 2]! && key < seen[query * 2 + 1]!);
  }
  const largest = new Float32Array((maps.length + 1) * 2);
  [...maps, together(maps, "mean")].forEach((map, row) =>
    map.forEach((weight, cell) => {
      if (weight > largest[row * 2]!) largest[row * 2] = weight;
      if (cell % cols !== 0 && weight > largest[row * 2 + 1]!) largest[row * 2 + 1] = weight;
    }),
  );
  return { weights, visible, largest };
}
