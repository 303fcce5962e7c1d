/**
 * Maps on a canvas. Every cell becomes whole device pixels of one colour from a table of 256: nothing is smoothed, and
 * where there are more cells than pixels the largest value wins, so that a bright cell never vanishes.
 */

import { weightIndex } from "./colors";

/** A picture in device pixels, one 32-bit number a pixel as {@link pixelOf} makes them. */
export interface Pixels {
  data: Uint32Array;
  width: number;
  height: number;
}

/** Table indices of a map's cells, row by row. */
export interface Cells {
  values: Uint8Array;
  rows: number;
  cols: number;
}

/** Table indices of weights from 0 to 1. */
export function weightIndices(values: ArrayLike<number>): Uint8Array {
  return Uint8Array.from(values, weightIndex);
}

/** The first source cell that target pixel `at` of `count` covers, of `cells`. */
function from(at: number, count: number, cells: number): number {
  return Math.floor((at * cells) / count + 1e-9);
}

/** Index after the last source cell that target pixel `at` covers; at least one cell is covered. */
function until(at: number, count: number, cells: number): number {
  return Math.max(from(at, count, cells) + 1, Math.min(cells, Math.ceil(((at + 1) * cells) / count - 1e-9)));
}

/** The largest value of each block when `rows` x `cols` values are shown as `toRows` x `toCols`; repeats when enlarging. */
export function maxPool(cells: Cells, toRows: number, toCols: number): Cells {
  const { values, rows, cols } = cells;
  if (rows === toRows && cols === toCols) return cells;
  // One axis after the other: every value is then read once, however large the blocks are.
  const narrow = new Uint8Array(rows * toCols);
  for (let col = 0; col < toCols; col++) {
    const last = until(col, toCols, cols);
    for (let row = 0; row < rows; row++) {
      let most = 0;
      for (let at = from(col, toCols, cols); at < last; at++)
        most = Math.max(most, values[row * cols + at] as number);
      narrow[row * toCols + col] = most;
    }
  }
  const pooled = new Uint8Array(toRows * toCols);
  for (let row = 0; row < toRows; row++) {
    const last = until(row, toRows, rows);
    for (let col = 0; col < toCols; col++) {
      let most = 0;
      for (let at = from(row, toRows, rows); at < last; at++)
        most = Math.max(most, narrow[at * toCols + col] as number);
      pooled[row * toCols + col] = most;
    }
  }
  return { values: pooled, rows: toRows, cols: toCols };
}

/**
 * Draws a map into `target`, stretched over `width` x `height` device pixels from `left`, `top`.
 *
 * @param table 256 pixels
 * @param gap device pixels left empty at the end of every cell; only with cells of a whole number of pixels
 */
export function blit(
  target: Pixels,
  cells: Cells,
  table: Uint32Array,
  place: { left: number; top: number; width: number; height: number; gap?: number },
): void {
  const { left, top, width, height, gap = 0 } = place;
  if (cells.rows === 0 || cells.cols === 0 || width <= 0 || height <= 0) return;
  const source = maxPool(cells, Math.min(cells.rows, height), Math.min(cells.cols, width));
  for (let y = 0; y < height; y++) {
    const row = from(y, height, source.rows);
    if (gap > 0 && from(Math.min(height, y + gap), height, source.rows) !== row) continue;
    const line = (top + y) * target.width + left;
    for (let x = 0; x < width; x++) {
      const col = from(x, width, source.cols);
      if (gap > 0 && from(Math.min(width, x + gap), width, source.cols) !== col) continue;
      target.data[line + x] = table[source.values[row * source.cols + col] as number] as number;
    }
  }
}

/**
 * Sizes the canvas to `width` x `height` CSS pixels at `ratio` device pixels each and shows what `draw` painted.
 * A canvas of no size, or a page that grants no drawing context, is left alone.
 */
export function paint(
  canvas: HTMLCanvasElement,
  size: { width: number; height: number; ratio: number },
  draw: (target: Pixels) => void,
): void {
  const width = Math.round(size.width * size.ratio);
  const height = Math.round(size.height * size.ratio);
  if (width <= 0 || height <= 0) return;
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  canvas.style.width = `${width / size.ratio}px`;
  canvas.style.height = `${height / size.ratio}px`;
  const context = canvas.getContext("2d");
  if (context === null) return;
  const image = context.createImageData(width, height);
  draw({ data: new Uint32Array(image.data.buffer), width, height });
  context.putImageData(image, 0, 0);
}
