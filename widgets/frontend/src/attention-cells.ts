/** Maps of any numbers, as `widgets.attention_cells` sends them, and the part of one that is looked at. */

import { type Region, blocksOf, within } from "./attention-region";
import { type HeadMap, type Sides, rowSpan } from "./attention-state";
import { type Cell, type View, type WireArray, blockOf, decodeFloats, decodeInts } from "./shared";

export interface CellsView extends View {
  layer: number;
  heads: number[];
  data: WireArray;
  row_start: number[];
  col_start: number[];
  rows: number;
  columns: number;
  /** Positions a cell covers each way; it holds the number of them that is furthest from 0. */
  block: number;
  /** (row, 2): the first column that a row may have a number in, and the one after the last. */
  seen: WireArray;
}

/** Decodes a map. Throws where its parts do not fit together. */
export function readCells(view: CellsView): HeadMap {
  const { values, shape } = decodeFloats(view.data, "view.data", 2);
  const [rows = 0, cols = 0] = shape;
  if (view.row_start.length !== rows || view.col_start.length !== cols) {
    throw new Error(`view.row_start or col_start does not fit ${rows} x ${cols} cells.`);
  }
  const seen = decodeInts(view.seen, "view.seen", 2).values;
  const all = {
    layer: view.layer,
    heads: view.heads,
    combine: "mean" as const,
    rows,
    cols,
    weights: values,
    rowStart: view.row_start,
    colStart: view.col_start,
    rowEnd: view.rows,
    colEnd: view.columns,
    block: Math.max(1, view.block),
    exact: true,
    visible: new Int32Array(rows * 2),
  };
  for (let row = 0; row < rows; row++) {
    const { first, last } = rowSpan(all, row);
    let [from, to] = [Infinity, 0];
    for (let at = first; at <= last; at++) {
      from = Math.min(from, seen[at * 2] ?? 0);
      to = Math.max(to, seen[at * 2 + 1] ?? 0);
    }
    all.visible.set([Math.min(from, to), to], row * 2);
  }
  return all;
}

/** The part of a map that a region touches, and the cell of the whole that each of its cells is. */
export function cut(all: HeadMap, sides: Sides, region: Region): { map: HeadMap; wholeCell: (cell: Cell) => Cell } {
  const down = blocksOf(region.top, region.rows, sides.queries, all.block);
  const across = blocksOf(region.left, region.cols, sides.keys, all.block);
  const rowOf = within(down.starts, all.rowStart);
  const colOf = within(across.starts, all.colStart);
  const [rows, cols] = [rowOf.length, colOf.length];
  const weights = new Float32Array(rows * cols);
  const visible = new Int32Array(rows * 2);
  for (let row = 0; row < rows; row++) {
    const from = rowOf[row] as number;
    visible.set(all.visible.subarray(from * 2, from * 2 + 2), row * 2);
    for (let col = 0; col < cols; col++) {
      weights[row * cols + col] = all.weights[from * all.cols + (colOf[col] as number)] as number;
    }
  }
  const places = { rowStart: down.starts, colStart: across.starts, rowEnd: down.end, colEnd: across.end };
  const wholeCell = ({ row, col }: Cell): Cell => ({ row: rowOf[row] as number, col: colOf[col] as number });
  return { map: { ...all, ...places, rows, cols, weights, visible }, wholeCell };
}

/** A number as these maps write it: four digits, and none for nothing. */
export function written(value: number, notANumber: string): string {
  if (!Number.isFinite(value)) return notANumber;
  if (value !== 0 && Math.abs(value) < 0.0005) return value.toExponential(1);
  return Math.abs(value) < 10 ? value.toFixed(3) : String(Number(value.toPrecision(4)));
}

/** The same with its sign, also of what is more. */
export function signed(value: number, notANumber: string): string {
  const text = written(Math.abs(value), notANumber);
  return value > 0 ? `+${text}` : value < 0 ? `−${text}` : text;
}

/** The cell that holds a position of each side; a side that is not chosen is left out. */
export function cellAtPositions(all: HeadMap, row: number | null, col: number | null): Partial<Cell> {
  return {
    ...(row === null ? {} : { row: Math.max(0, blockOf(all.rowStart, row)) }),
    ...(col === null ? {} : { col: Math.max(0, blockOf(all.colStart, col)) }),
  };
}
