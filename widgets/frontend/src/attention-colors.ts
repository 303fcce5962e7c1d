/** From weights to entries of the colour table: linear or logarithmic, up to one, the map's or the row's largest. */

import { type HeadMap, type Reach, type Scale, hiddenBy } from "./attention-state";
import { weightIndex } from "./shared";

/** How far down the logarithmic scale goes below its top. */
export const DECADES = 4;

export interface Coloring {
  scale: Scale;
  reach: Reach;
  /** The weight that gets the strongest colour, unless each row has its own. */
  limit: number;
}

/** The entry of a weight when `limit` is the largest; NaN counts as nothing here. */
export function entryOf(weight: number, limit: number, scale: Scale): number {
  if (!(weight > 0) || !(limit > 0)) return 0;
  const share = weight / limit;
  return weightIndex(scale === "linear" ? share : 1 + Math.log10(share) / DECADES);
}

/** Whether a column is that of the first token alone, which can be hidden. */
export function isFirstToken(map: HeadMap, col: number): boolean {
  return col === 0 && map.block === 1 && map.colStart[0] === 0;
}

/** The largest weight of a map's row; what is not a number is left out, and the first token where it is hidden. */
export function largestInRow(map: HeadMap, row: number, hideFirst: boolean): number {
  let most = 0;
  for (let col = hideFirst && isFirstToken(map, 0) ? 1 : 0; col < map.cols; col++) {
    const weight = map.weights[row * map.cols + col] as number;
    if (weight > most) most = weight;
  }
  return most;
}

/** What the strongest colour of a map means, where rows do not have their own. */
export function limitOf(map: HeadMap, reach: Reach, hideFirst: boolean): number {
  if (reach === "one" && !hideFirst) return 1;
  let most = 0;
  for (let row = 0; row < map.rows; row++) most = Math.max(most, largestInRow(map, row, hideFirst));
  return most > 0 ? most : 1;
}

/** The table entries of a map's cells, row by row. */
export function entriesOf(map: HeadMap, { scale, reach, limit }: Coloring, hideFirst: boolean): Uint8Array {
  const entries = new Uint8Array(map.weights.length);
  for (let row = 0; row < map.rows; row++) {
    const from = row * map.cols;
    const top = reach === "row" ? largestInRow(map, row, hideFirst) : limit;
    for (let at = from; at < from + map.cols; at++) entries[at] = entryOf(map.weights[at] as number, top, scale);
  }
  return entries;
}

/** A weight as it is written everywhere: `0.810`, `<0.001`, `≈ 0.81` where it is not exact. */
export function weightText(weight: number, exact: boolean, notANumber: string): string {
  if (!Number.isFinite(weight)) return notANumber;
  if (!exact) return weight > 0 && weight < 0.005 ? "<0.01" : `≈ ${weight.toFixed(2)}`;
  return weight > 0 && weight < 0.0005 ? weight.toExponential(1) : weight.toFixed(3);
}

/** Whether any cell of the map is hidden because it lies further back than its row looks. */
export function hasWindow(map: HeadMap): boolean {
  for (let row = 0; row < map.rows; row++) if (hiddenBy(map, row, 0) === "window") return true;
  return false;
}
