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
   * @param planes how many numbers each cell has
   * @returns the weights, plane after plane, and whether all of them were there
   */
  read(
    asked: object,
    size: { queries: number; keys: number },
    block: number,
    rowStart: readonly number[],
    colStart: readonly number[],
    otherwise: (row: number, col: number, plane: number) => number,
    planes = 1,
  ): { weights: Float32Array; complete: boolean } {
    const { rows, cols } = { rows: rowStart.length, cols: colStart.length };
    const weights = new Float32Array(rows * cols * planes);
    const name = `${JSON.stringify(asked)}/${block}`;
    const span = SIDE * block;
    const missing = { rows: [] as number[], columns: [] as number[] };
    const firstRow = (rowStart[0] ?? 0) / block;
    const firstCol = (colStart[0] ?? 0) / block;
    const squares: (Float32Array | undefined)[][] = [];
    for (let y = Math.floor(firstRow / SIDE); y * SIDE < firstRow + rows; y++) {
      squares[y] = [];
      for (let x = Math.floor(firstCol / SIDE); x * SIDE < firstCol + cols; x++) {
        if ((squares[y]![x] = this.#kept.get(`${name}/${y}/${x}`)) !== undefined) continue;
        missing.rows.push(y);
        missing.columns.push(x);
      }
    }
    const width = Math.ceil(size.keys / block);
    for (let row = 0; row < rows; row++) {
      const y = Math.floor((firstRow + row) / SIDE);
      for (let col = 0; col < cols; col++) {
        const x = Math.floor((firstCol + col) / SIDE);
        const at = (firstRow + row - y * SIDE) * Math.min(SIDE, width - x * SIDE) + firstCol + col - x * SIDE;
        for (let plane = 0; plane < planes; plane++) {
          weights[(plane * rows + row) * cols + col] =
            squares[y]![x]?.[at * planes + plane] ?? otherwise(row, col, plane);
        }
      }
    }
    const complete = missing.rows.length === 0;
    const around = (squares: number[], count: number): [number, number] => [
      Math.min(...squares) * span,
      Math.min(count, (Math.max(...squares) + 1) * span),
    ];
    if (!complete) this.#ask(asked, name, block, around(missing.rows, size.queries), around(missing.columns, size.keys));
    return { weights, complete };
  }

  #ask(asked: object, name: string, block: number, rows: [number, number], columns: [number, number]): void {
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
      this.#cut(name, found.values, found.shape, rows[0] / block, columns[0] / block);
      this.arrived.value += 1;
    }, done);
  }

  #cut(name: string, values: Float32Array, [rows = 0, cols = 0, planes = 1]: readonly number[], firstRow: number, firstCol: number): void {
    for (let top = 0; top < rows; top += SIDE) {
      for (let left = 0; left < cols; left += SIDE) {
        const height = Math.min(SIDE, rows - top);
        const width = Math.min(SIDE, cols - left);
        const line = width * planes;
        const tile = new Float32Array(height * line);
        for (let row = 0; row < height; row++) {
          const from = ((top + row) * cols + left) * planes;
          tile.set(values.subarray(from, from + line), row * line);
        }
        this.#kept.set(`${name}/${(firstRow + top) / SIDE}/${(firstCol + left) / SIDE}`, tile);
      }
    }
  }
}
