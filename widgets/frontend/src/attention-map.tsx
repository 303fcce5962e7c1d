/** The chosen head, large, with the tokens on both axes. */

import { type Signal, useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { AttentionAxis } from "./attention-axis";
import { type MapLayout, axisLabel, layoutMap, spanName } from "./attention-layout";
import { type HeadMap, span, weightText } from "./attention-state";
import {
  type Box,
  type Cell,
  type Rgb,
  type WireToken,
  blit,
  boxOf,
  cellAt,
  mixed,
  paint,
  pixelOf,
  pixelsOver,
  surfaceBehind,
  tableOf,
  useDomId,
  useModel,
  useTooltip,
  walked,
} from "./shared";

export interface MapProps {
  map: HeadMap;
  tokens: readonly WireToken[];
  /** The room for it in CSS pixels; 0 while the panel is hidden. */
  width: number;
  ratio: number;
  /** The cell under the pointer or the keyboard's cursor; hovered tokens set one side only. */
  hover: Signal<Partial<Cell>>;
  /** The chosen cell: one side, both or none. */
  chosen: Partial<Cell>;
  /** Whether the first token's column is shown in grey. */
  hideFirst: boolean;
  /** A click or Enter on a cell. */
  onChoose: (cell: Cell) => void;
  /** A click on a row's label. */
  onChooseRow: (row: number) => void;
  onRelease: () => void;
}

/** What a cell says, in words: `“ to” → “ Mary”` and its weight. */
export function cellWords(
  map: HeadMap,
  tokens: readonly WireToken[],
  cell: Cell,
): { pair: string; weight: string } {
  const rows = span(map.rowStart, cell.row, map.positions);
  const cols = span(map.colStart, cell.col, map.positions);
  const pair = `${spanName(tokens, rows.first, rows.last)} → ${spanName(tokens, cols.first, cols.last)}`;
  if (map.causal && cols.first > rows.last) return { pair, weight: "masked: it comes later" };
  const weight = weightText(map.weights[cell.row * map.cols + cell.col] ?? NaN, map.exact);
  if (map.block === 1) return { pair, weight };
  const size = `${rows.last - rows.first + 1} × ${cols.last - cols.first + 1}`;
  return { pair, weight: `${weight}, the largest in a block of ${size}` };
}

// A breath of grey lies under the cells, so that the map keeps its outline where all is zero.
const BREATH = { light: 0.022, dark: 0.16 };
const BLACK: Rgb = [0, 0, 0];
const HIDDEN = { light: pixelOf([0, 0, 0], 0.075), dark: pixelOf([255, 255, 255], 0.1) };

/** Draws the map's cells: those in the future stay empty, and the hidden first column is grey. */
function drawMap(canvas: HTMLCanvasElement, props: MapProps, layout: MapLayout, dark: boolean): void {
  const { map, ratio, hideFirst } = props;
  const { lattice } = layout;
  const theme = dark ? "dark" : "light";
  const colors = tableOf("weight", dark);
  const surface = surfaceBehind(canvas) ?? colors.surface;
  const table = pixelsOver(colors, mixed(BLACK, BREATH[theme], surface));
  paint(
    canvas,
    { width: layout.width - layout.gutterX, height: layout.height - layout.gutterY, ratio },
    (target) => {
      const { rows, cols } = map;
      const gap = Math.round(lattice.gap * ratio);
      blit(target, { values: map.indices, rows, cols }, table, {
        left: 0,
        top: 0,
        width: target.width,
        height: target.height,
        gap,
      });
      const pitchX = target.width / cols;
      const pitchY = target.height / rows;
      const fill = (row: number, col: number, pixel: number): void => {
        for (let y = Math.round(row * pitchY); y < Math.round((row + 1) * pitchY) - gap; y++) {
          const line = y * target.width;
          target.data.fill(
            pixel,
            line + Math.round(col * pitchX),
            line + Math.round((col + 1) * pitchX) - gap,
          );
        }
      };
      for (let row = 0; row < rows; row++) {
        if (hideFirst) fill(row, 0, HIDDEN[theme]);
        if (map.causal) for (let col = row + 1; col < cols; col++) fill(row, col, 0);
      }
    },
  );
}

function styleOf(box: Box): CSSProperties {
  return { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` };
}

/** The map. Hover looks, click chooses, arrows walk its cells, Enter chooses, Esc lets go. */
export function AttentionMap(props: MapProps): JSX.Element {
  const { map, tokens, width, ratio, hover, chosen } = props;
  const { dark, theme } = useModel();
  const tooltip = useTooltip();
  const canvas = useRef<HTMLCanvasElement>(null);
  const plane = useRef<HTMLDivElement>(null);
  const focused = useSignal(false);
  const cellId = useDomId();
  const labels = useMemo(() => {
    const label = (starts: number[]): string[] =>
      starts.map((at) => (tokens[at] ? axisLabel(tokens[at]) : ""));
    return { rows: label(map.rowStart), cols: label(map.colStart) };
  }, [tokens, map.rowStart, map.colStart]);
  const layout = useMemo(
    () => layoutMap(map.rows, map.cols, labels.rows, labels.cols, width, ratio),
    [map.rows, map.cols, labels, width, ratio],
  );
  const { lattice } = layout;
  const isDark = dark.value;
  const revision = theme.revision.value;
  useLayoutEffect(() => {
    if (canvas.current && width > 0) drawMap(canvas.current, props, layout, isDark);
  }, [map, layout, isDark, revision, props.hideFirst, width]);

  const at = hover.value;
  const cursorAt = (looked: Partial<Cell>): Cell => ({
    row: Math.min(map.rows - 1, looked.row ?? chosen.row ?? map.rows - 1),
    col: Math.min(map.cols - 1, looked.col ?? chosen.col ?? 0),
  });
  const cursor = cursorAt(at);
  const tip = (cell: Cell): JSX.Element => {
    const { pair, weight } = cellWords(map, tokens, cell);
    return (
      <>
        <bdi>{pair}</bdi>
        <b class="explorer-value">{weight}</b>
      </>
    );
  };
  const cellUnder = (event: MouseEvent): Cell | null => {
    const frame = plane.current?.getBoundingClientRect();
    return frame ? cellAt(lattice, event.clientX - frame.left, event.clientY - frame.top) : null;
  };
  const look = (event: PointerEvent): void => {
    const cell = cellUnder(event);
    if (cell === null) return leave();
    if (cell.row !== at.row || cell.col !== at.col) hover.value = cell;
    tooltip.show(event, tip(cell));
  };
  const leave = (): void => {
    hover.value = {};
    tooltip.hide();
  };
  const pointTo = (cell: Cell): void => {
    hover.value = cell;
    const frame = plane.current?.getBoundingClientRect();
    if (!frame) return;
    const box = boxOf(lattice, cell);
    const left = frame.left + box.left;
    const top = frame.top + box.top;
    tooltip.showAt({ left, top, right: left + box.width, bottom: top + box.height }, tip(cell));
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Keys may come faster than the map is drawn: the cursor is where the last key put it.
    const here = cursorAt(hover.peek());
    const next = walked(event.key, here, map.rows, map.cols);
    if (next !== null) pointTo(next);
    else if (event.key === "Enter" || event.key === " ") props.onChoose(here);
    else if (event.key === "Escape") props.onRelease();
    else return;
    event.preventDefault();
  };

  const spoken = cellWords(map, tokens, cursor);
  const band = (side: "row" | "col", index: number | undefined): JSX.Element | null => {
    if (index === undefined || index >= (side === "row" ? map.rows : map.cols)) return null;
    const box = boxOf(lattice, side === "row" ? { row: index, col: 0 } : { row: 0, col: index });
    const whole =
      side === "row"
        ? { ...box, width: map.cols * lattice.pitchX }
        : { ...box, height: map.rows * lattice.pitchY };
    return <i class="explorer-band" style={styleOf(whole)} />;
  };
  const frame = (cell: Partial<Cell>, kind: string): JSX.Element | null => {
    const { row, col } = cell;
    if (row === undefined || col === undefined || row >= map.rows || col >= map.cols) return null;
    return <i class={`explorer-frame ${kind}`} style={styleOf(boxOf(lattice, { row, col }))} />;
  };

  return (
    <div
      ref={plane}
      class={`explorer-map${map.exact ? "" : " is-waiting"}`}
      style={{ width: `${layout.width}px`, height: `${layout.height}px` }}
      role="grid"
      tabIndex={0}
      aria-label={`Attention of layer ${map.layer}, head ${map.head}: rows attend to columns`}
      aria-rowcount={map.rows}
      aria-colcount={map.cols}
      aria-activedescendant={cellId}
      onPointerMove={look}
      onPointerLeave={leave}
      onClick={(event) => {
        const cell = cellUnder(event);
        if (cell !== null) props.onChoose(cell);
      }}
      onFocus={() => {
        focused.value = true;
      }}
      onBlur={() => {
        focused.value = false;
        leave();
      }}
      onKeyDown={onKeyDown}
    >
      <canvas
        ref={canvas}
        aria-hidden="true"
        style={{ left: `${layout.gutterX}px`, top: `${layout.gutterY}px` }}
      />
      <div aria-hidden="true">
        {band("row", at.row)}
        {band("col", at.col)}
        <AttentionAxis
          side="row"
          starts={map.rowStart}
          labels={labels.rows}
          tokens={tokens}
          layout={layout}
          chosen={chosen.row}
          hovered={at.row}
          onChoose={props.onChooseRow}
        />
        <AttentionAxis
          side="col"
          starts={map.colStart}
          labels={labels.cols}
          tokens={tokens}
          layout={layout}
          chosen={chosen.col}
          hovered={at.col}
        />
        {frame(at, "is-hovered")}
        {focused.value && frame(cursor, "is-hovered")}
        {frame(chosen, "is-chosen")}
      </div>
      <div
        role="row"
        aria-rowindex={cursor.row + 1}
        aria-live={focused.value ? "polite" : "off"}
        class="explorer-hidden"
      >
        <div
          id={cellId}
          role="gridcell"
          aria-colindex={cursor.col + 1}
          aria-selected={cursor.row === chosen.row && cursor.col === chosen.col}
        >
          {`${spoken.pair} ${spoken.weight}`}
        </div>
      </div>
    </div>
  );
}
