/** Parts of the map in cells of any size, cut into squares that are kept. */

import { signal as makeSignal } from "@preact/signals";
import { Kept, type Questions } from "./attention-questions";

/** Cells of a square, each way. */
const SIDE = 64;
const MOST_BYTES = 32 * 1024 * 1024;

/** What the weights are of; equal words mean equal weights. */
export interface Asked {
  picture: number;
  layer: number;
  heads: number[];
  combine: string;
  hide_sink: boolean;
}

export class Tiles {
  /** Changes when weights arrive. */
  readonly arrived = makeSignal(0);
  readonly #kept = new Kept(MOST_BYTES);
  #wanted = "";

  constructor(readonly questions: Questions) {}

  /**
   * Cells of `block` x `block` positions that begin at `rowStart` and `colStart`, multiples of `block`; NaN-free cells
   * that are not there yet are filled by `otherwise`, and asked for.
   *
   * @returns the weights, and whether all of them were there
   */
  read(
    asked: Asked,
    size: { queries: number; keys: number },
    block: number,
    rowStart: readonly number[],
    colStart: readonly number[],
    otherwise: (row: number, col: number) => number,
  ): { weights: Float32Array; complete: boolean } {
    const { rows, cols } = { rows: rowStart.length, cols: colStart.length };
    const weights = new Float32Array(rows * cols);
    const name = `${JSON.stringify(asked)}/${block}`;
    const span = SIDE * block;
    const missing = { top: Infinity, left: Infinity, bottom: 0, right: 0 };
    const firstRow = Math.floor((rowStart[0] ?? 0) / block);
    const firstCol = Math.floor((colStart[0] ?? 0) / block);
    for (let tileRow = Math.floor(firstRow / SIDE); tileRow * SIDE < firstRow + rows; tileRow++) {
      for (let tileCol = Math.floor(firstCol / SIDE); tileCol * SIDE < firstCol + cols; tileCol++) {
        const tile = this.#kept.get(`${name}/${tileRow}/${tileCol}`);
        if (tile === undefined) {
          missing.top = Math.min(missing.top, tileRow * span);
          missing.left = Math.min(missing.left, tileCol * span);
          missing.bottom = Math.max(missing.bottom, (tileRow + 1) * span);
          missing.right = Math.max(missing.right, (tileCol + 1) * span);
        }
        const width = Math.min(SIDE, Math.ceil(size.keys / block) - tileCol * SIDE);
        for (let row = Math.max(0, tileRow * SIDE - firstRow); row < Math.min(rows, (tileRow + 1) * SIDE - firstRow); row++) {
          const from = (row + firstRow - tileRow * SIDE) * width;
          for (let col = Math.max(0, tileCol * SIDE - firstCol); col < Math.min(cols, (tileCol + 1) * SIDE - firstCol); col++) {
            weights[row * cols + col] =
              tile === undefined ? otherwise(row, col) : (tile[from + col + firstCol - tileCol * SIDE] as number);
          }
        }
      }
    }
    const complete = missing.bottom === 0;
    if (!complete) {
      const bottom = Math.min(size.queries, missing.bottom);
      const right = Math.min(size.keys, missing.right);
      this.#ask(asked, name, block, [missing.top, bottom], [missing.left, right]);
    }
    return { weights, complete };
  }

  #ask(asked: Asked, name: string, block: number, rows: [number, number], columns: [number, number]): void {
    const wanted = `${name}/${rows}/${columns}`;
    if (this.#wanted === wanted) return;
    this.#wanted = wanted;
    const done = (): void => {
      if (this.#wanted === wanted) this.#wanted = "";
    };
    this.questions.ask("part", { ...asked, block, rows, columns }, ({ arrays }) => {
      done();
      const found = arrays["weights"];
      if (!(found?.values instanceof Float32Array)) return;
      this.#cut(name, found.values, found.shape as [number, number], rows[0] / block, columns[0] / block);
      this.arrived.value += 1;
    }, done);
  }

  #cut(name: string, values: Float32Array, [rows, cols]: [number, number], firstRow: number, firstCol: number): void {
    for (let top = 0; top < rows; top += SIDE) {
      for (let left = 0; left < cols; left += SIDE) {
        const height = Math.min(SIDE, rows - top);
        const width = Math.min(SIDE, cols - left);
        const tile = new Float32Array(height * width);
        for (let row = 0; row < height; row++) {
          const from = (top + row) * cols + left;
          tile.set(values.subarray(from, from + width), row * width);
        }
        this.#kept.set(`${name}/${(firstRow + top) / SIDE}/${(firstCol + left) / SIDE}`, tile);
      }
    }
  }
}
