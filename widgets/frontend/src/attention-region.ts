/** Which part of the map is looked at, in positions: pure functions of the part before and what the reader did. */

import { blockOf } from "./shared";

/** Rows `top` to `top + rows`, columns `left` to `left + cols`. */
export interface Region {
  top: number;
  left: number;
  rows: number;
  cols: number;
}

/** Closer than this a map shows nothing more. */
const SMALLEST = 4;
/** As many cells as the map of all holds at most. */
const CELLS = 256;

export function whole(rows: number, cols: number): Region {
  return { top: 0, left: 0, rows, cols };
}

export function isWhole(region: Region, all: Region): boolean {
  return region.rows >= all.rows && region.cols >= all.cols;
}

function clamped(region: Region, all: Region): Region {
  const rows = Math.max(Math.min(SMALLEST, all.rows), Math.min(all.rows, region.rows));
  const cols = Math.max(Math.min(SMALLEST, all.cols), Math.min(all.cols, region.cols));
  return {
    rows,
    cols,
    top: Math.max(0, Math.min(all.rows - rows, region.top)),
    left: Math.max(0, Math.min(all.cols - cols, region.left)),
  };
}

/**
 * The region `factor` times as large, with what lay at `at` (shares of the region, 0 to 1) staying there. Sizes are not
 * rounded, so that many small steps of a wheel add up.
 */
export function zoomed(region: Region, all: Region, factor: number, at = { x: 0.5, y: 0.5 }): Region {
  const rows = Math.max(Math.min(SMALLEST, all.rows), Math.min(all.rows, region.rows * factor));
  const cols = Math.max(Math.min(SMALLEST, all.cols), Math.min(all.cols, region.cols * factor));
  return clamped(
    { rows, cols, top: region.top + (region.rows - rows) * at.y, left: region.left + (region.cols - cols) * at.x },
    all,
  );
}

export function panned(region: Region, all: Region, rows: number, cols: number): Region {
  return clamped({ ...region, top: region.top + rows, left: region.left + cols }, all);
}

/** The region moved as little as needed for a position of each side to be inside. */
export function showing(region: Region, all: Region, row: number | null, col: number | null): Region {
  const moved = (start: number, size: number, at: number | null): number =>
    at === null ? start : at < start ? at : at + 1 > start + size ? at + 1 - size : start;
  return clamped(
    { ...region, top: moved(region.top, region.rows, row), left: moved(region.left, region.cols, col) },
    all,
  );
}

/** Positions a cell covers when the region is drawn; `most` where nothing finer is needed. */
export function blockFor(region: Region, most: number): number {
  let block = 1;
  while (Math.max(region.rows, region.cols) / block > CELLS) block *= 2;
  return Math.min(block, most);
}

/** The blocks that a region touches: where each begins, and the position after the last. */
export function blocksOf(start: number, size: number, count: number, block: number): { starts: number[]; end: number } {
  const first = Math.floor(start / block) * block;
  const end = Math.min(count, Math.max(first + 1, Math.ceil((start + size - 1e-6) / block) * block));
  const starts: number[] = [];
  for (let at = first; at < end; at += block) starts.push(at);
  return { starts, end };
}

/** For each of `starts`, the index of the block of `coarse` that holds it. */
export function within(starts: readonly number[], coarse: readonly number[]): Int32Array {
  return Int32Array.from(starts, (start) => blockOf(coarse, start));
}
