/** Maps of any numbers, as `widgets.attention_cells` sends them. */

import { type Combine, type HeadMap, type Sides, visibleKeys } from "./attention-state";
import { type View, type WireArray, decodeFloats, decodeInts } from "./shared";

export interface CellsView extends View {
  layer: number;
  heads: number[];
  /** What several heads are shown as. */
  combine: Combine;
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

/** A map, and what is needed to look closer at it. */
export interface Mapped {
  /** Of which picture it is, for questions. */
  request: number;
  sides: Sides;
  all: HeadMap;
  seen: Int32Array;
}

/**
 * Decodes a map. Throws where its parts do not fit together.
 *
 * @param beside further numbers of each cell, by name
 */
export function readCells(view: CellsView, beside: Record<string, WireArray> = {}): Pick<Mapped, "all" | "seen"> {
  const { values, shape } = decodeFloats(view.data, "view.data", 2);
  const [rows = 0, cols = 0] = shape;
  if (view.row_start.length !== rows || view.col_start.length !== cols) {
    throw new Error(`view.row_start or col_start does not fit ${rows} x ${cols} cells.`);
  }
  const more = Object.entries(beside).map(([name, plane]) => decodeFloats(plane, `view.${name}`, 2).values);
  const weights = new Float32Array(values.length * (1 + more.length));
  [values, ...more].forEach((plane, at) => {
    if (plane.length !== values.length) throw new Error(`view holds ${plane.length} numbers of ${rows} x ${cols} cells.`);
    weights.set(plane, at * values.length);
  });
  const seen = decodeInts(view.seen, "view.seen", 2).values;
  const all = {
    layer: view.layer,
    heads: view.heads,
    combine: view.combine,
    rows,
    cols,
    weights,
    rowStart: view.row_start,
    colStart: view.col_start,
    rowEnd: view.rows,
    colEnd: view.columns,
    block: Math.max(1, view.block),
    exact: true,
    visible: visibleKeys(seen, view.row_start, view.rows),
  };
  return { all, seen };
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
