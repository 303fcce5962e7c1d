/** The weights of all heads as a saved page carries them; see widgets/attention_page.py. */

import { type WireArray, decodeBytes, decodeFloats } from "./shared";
import type { Matrix } from "./attention-state";

export interface Carried {
  layers: number[];
  heads: number;
  row_start: number[];
  block: number;
  /** Whether only the pairs whose key is not later than their query are there. */
  causal: boolean;
  /** (layers, heads, keys, queries), flat: 255 is the head's largest weight. */
  levels: WireArray;
  /** (layers, heads), flat: that weight. */
  scale: WireArray;
  /** The largest error of a weight. */
  error: number;
}

/** A head's map from what the page carries; `null` where it does not carry it. */
export function carriedMatrix(
  carried: Carried | null | undefined,
  request: number,
  layer: number,
  head: number,
): Matrix | null {
  const place = carried?.layers.indexOf(layer) ?? -1;
  if (carried == null || place < 0 || head < 0 || head >= carried.heads) return null;
  const { row_start: starts, block, causal } = carried;
  const side = starts.length;
  const pairs = causal ? (side * (side + 1)) / 2 : side * side;
  const index = place * carried.heads + head;
  const levels = decodeBytes(carried.levels, "carried.levels", 1).values.subarray(index * pairs, (index + 1) * pairs);
  const scale = decodeFloats(carried.scale, "carried.scale", 1).values[index];
  if (levels.length !== pairs || scale === undefined) throw new Error("carried.levels does not hold all of its heads.");
  const weights = new Float32Array(side * side);
  let next = 0;
  for (let key = 0; key < side; key++) {
    for (let query = causal ? key : 0; query < side; query++) {
      weights[query * side + key] = (levels[next++]! / 255) * scale;
    }
  }
  const data: WireArray = { data: new DataView(weights.buffer), dtype: "float32", shape: [side, side] };
  return { request, layer, head, data, row_start: starts, col_start: starts, block };
}
