/** The part of a map that is looked at, in cells as fine as can be seen. */

import { type Region, blockFor, blocksOf, isWhole, whole, within } from "./attention-region";
import { type HeadMap, type Sides, visibleKeys } from "./attention-state";
import type { Tiles } from "./attention-tiles";

/**
 * From the whole's own cells until finer ones arrive; where there are no tiles to ask for, from them alone.
 *
 * @param seen (query, 2): the first key that each row may see, and the one after the last
 * @param asked what the numbers are of; equal words mean equal numbers
 */
export function finer(
  all: HeadMap,
  seen: Int32Array,
  { queries, keys }: Pick<Sides, "queries" | "keys">,
  region: Region,
  asked: object,
  tiles: Tiles | null,
): HeadMap {
  if (isWhole(region, whole(queries, keys))) return all;
  const block = tiles === null ? all.block : blockFor(region, all.block);
  const down = blocksOf(region.top, region.rows, queries, block);
  const across = blocksOf(region.left, region.cols, keys, block);
  const [rowStart, colStart, rowEnd, colEnd] = [down.starts, across.starts, down.end, across.end];
  const [rows, cols] = [rowStart.length, colStart.length];
  const coarseRow = within(rowStart, all.rowStart);
  const coarseCol = within(colStart, all.colStart);
  const coarse = (row: number, col: number, plane: number): number =>
    all.weights[(plane * all.rows + (coarseRow[row] as number)) * all.cols + (coarseCol[col] as number)] as number;
  const planes = all.weights.length / all.rows / all.cols;
  const { weights, complete } =
    tiles !== null && block < all.block && tiles.arrived.value >= 0 // drawn anew with what comes next
      ? tiles.read(asked, { queries, keys }, block, rowStart, colStart, coarse, planes)
      : { weights: filled(rows, cols, planes, coarse), complete: all.exact };
  const visible = visibleKeys(seen, rowStart, rowEnd);
  return { ...all, rows, cols, weights, rowStart, colStart, rowEnd, colEnd, block, exact: complete, visible };
}

/** Every cell of every plane. */
function filled(rows: number, cols: number, planes: number, cell: (row: number, col: number, plane: number) => number): Float32Array {
  return Float32Array.from({ length: planes * rows * cols }, (_, at) =>
    cell(Math.floor(at / cols) % rows, at % cols, Math.floor(at / cols / rows)),
  );
}
