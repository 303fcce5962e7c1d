/** The chosen heads, large, with the tokens on both axes. */

import { type Signal, useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { AttentionAxis } from "./attention-axis";
import { type Coloring, entriesOf, entryOf, isFirstToken, weightText } from "./attention-colors";
import { type MapLayout, axisLabel, layoutMap, spanName, stretched } from "./attention-layout";
import { type Region, isWhole, panned, showing, whole, zoomed } from "./attention-region";
import { type HeadMap, type Rows, type Sides, colSpan, headsName, hiddenBy, rowSpan } from "./attention-state";
import {
  type Box,
  type Cell,
  type Rgb,
  type TableKind,
  type Words,
  attentionWords,
  blit,
  boxOf,
  cellAt,
  mixed,
  paint,
  pixelOf,
  pixelsOver,
  sharedWords,
  surfaceBehind,
  tableOf,
  useDomId,
  useModel,
  useTooltip,
  useWords,
  walked,
} from "./shared";

/** What a map shows that is no weight: its colours, its name and what its cells say. */
export interface Meaning {
  table: TableKind;
  /** The table's entry of each cell of the map. */
  entries: Uint8Array;
  label: string;
  says: (cell: Cell) => Said;
  /** Whether there is no number to show. */
  empty: (cell: Cell) => boolean;
}

/** The pair of a cell, and what it is worth. */
export interface Said {
  pair: string;
  weight: string;
}

export interface MapProps {
  picture: Sides;
  /** What is shown where it is no weight of the chosen heads. */
  meaning?: Meaning;
  /** The whole, which says how large everything is; and the part that is drawn. */
  all: HeadMap;
  map: HeadMap;
  rows: Rows | null;
  coloring: Coloring;
  /** The room for it in CSS pixels; 0 while the panel is hidden. */
  width: number;
  ratio: number;
  /** The cell under the pointer or the keyboard's cursor; hovered tokens set one side only. */
  hover: Signal<Partial<Cell>>;
  /** The chosen cell: one side, both or none. */
  chosen: Partial<Cell>;
  /** Whether the first token's column is shown in grey, and a learned sink not at all. */
  hideSink: boolean;
  region: Region;
  onLook: (region: Region) => void;
  /** A click or Enter on a cell. */
  onChoose: (cell: Cell) => void;
  /** A click on a row's label. */
  onChooseRow: (row: number) => void;
  onRelease: () => void;
}

/** What a cell says, in words: `“ to” → “ Mary”` and its weight, or the `text` of what it holds instead. */
export function cellWords(
  map: HeadMap,
  picture: Sides,
  cell: Cell,
  words: Words<typeof attentionWords>,
  text?: string,
): Said {
  const rows = rowSpan(map, cell.row);
  const cols = colSpan(map, cell.col);
  const from = spanName(picture.queryTokens, rows.first, rows.last);
  const pair = `${from} → ${spanName(picture.keyTokens, cols.first, cols.last)}`;
  const hidden = hiddenBy(map, cell.row, cell.col);
  if (hidden !== null) return { pair, weight: hidden === "later" ? words.masked : words.beyondWindow };
  const weight = text ?? weightText(map.weights[cell.row * map.cols + cell.col] ?? NaN, map.exact, words.notANumber);
  if (map.block === 1) return { pair, weight };
  const count = ({ first, last }: { first: number; last: number }): number => last - first + 1;
  return { pair, weight: words.largestInBlock(weight, count(rows), count(cols)) };
}

// A breath of grey lies under the cells, so that the map keeps its outline where all is zero.
const BREATH = { light: 0.022, dark: 0.16 };
const BLACK: Rgb = [0, 0, 0];
const HIDDEN = { light: pixelOf([0, 0, 0], 0.075), dark: pixelOf([255, 255, 255], 0.1) };
/** Lines over what lies outside of a sliding window, and over what is not a number. */
const HATCH = { light: pixelOf([0, 0, 0], 0.13), dark: pixelOf([255, 255, 255], 0.17) };
const BROKEN = { light: pixelOf([180, 84, 10]), dark: pixelOf([240, 163, 94]) };

/** Draws the map's cells: those in the future stay empty, those before a window are hatched, a hidden column is grey. */
function drawMap(canvas: HTMLCanvasElement, props: MapProps, layout: MapLayout, dark: boolean): void {
  const { map, ratio, hideSink, meaning } = props;
  const { lattice } = layout;
  const theme = dark ? "dark" : "light";
  const colors = tableOf(meaning?.table ?? "weight", dark);
  const surface = surfaceBehind(canvas) ?? colors.surface;
  const table = pixelsOver(colors, mixed(BLACK, BREATH[theme], surface));
  const { rows, cols } = map;
  paint(canvas, { width: cols * lattice.pitchX, height: rows * lattice.pitchY, ratio }, (target) => {
    const gap = Math.round(lattice.gap * ratio);
    const place = { left: 0, top: 0, width: target.width, height: target.height, gap };
    blit(target, { values: meaning?.entries ?? entriesOf(map, props.coloring, hideSink), rows, cols }, table, place);
    const pitchX = target.width / cols;
    const pitchY = target.height / rows;
    const fill = (row: number, from: number, to: number, pixel: number, hatched: boolean): void => {
      const left = Math.round(from * pitchX);
      const right = Math.round(to * pitchX) - gap;
      for (let y = Math.round(row * pitchY); y < Math.round((row + 1) * pitchY) - gap; y++) {
        const line = y * target.width;
        if (!hatched) target.data.fill(pixel, line + left, line + right);
        else for (let x = left; x < right; x++) target.data[line + x] = (x + y) % 5 === 0 ? pixel : 0;
      }
    };
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < cols; col++) {
        const why = hiddenBy(map, row, col);
        if (why === "later") fill(row, col, cols, 0, false);
        else if (why === "window" || meaning?.empty({ row, col })) fill(row, col, col + 1, HATCH[theme], true);
        else if (hideSink && isFirstToken(map, col)) fill(row, col, col + 1, HIDDEN[theme], false);
        else if (!Number.isFinite(map.weights[row * cols + col])) fill(row, col, col + 1, BROKEN[theme], true);
        if (why === "later") break; // nor is anything after it seen
      }
    }
  });
}

/** What a learned sink takes of each row of the map: the largest of the rows that a cell covers. */
function sinkOf(map: HeadMap, rows: Rows): Float32Array {
  return Float32Array.from(map.rowStart, (_, row) => {
    const { first, last } = rowSpan(map, row);
    return rows.rest.subarray(first, last + 1).reduce((most, rest) => Math.max(most, rest), 0);
  });
}

function drawSink(canvas: HTMLCanvasElement, props: MapProps, sink: Float32Array, layout: MapLayout, dark: boolean): void {
  const colors = tableOf("weight", dark);
  const table = pixelsOver(colors, mixed(BLACK, BREATH[dark ? "dark" : "light"], surfaceBehind(canvas) ?? colors.surface));
  const { scale, reach, limit } = props.coloring;
  const values = Uint8Array.from(sink, (share) => entryOf(share, reach === "row" ? 1 : limit, scale));
  const { pitchY, rows, gap } = layout.lattice;
  paint(canvas, { width: SINK_WIDTH, height: pitchY * rows, ratio: props.ratio }, (target) => {
    const place = { left: 0, top: 0, width: target.width, height: target.height, gap: Math.round(gap * props.ratio) };
    blit(target, { values, rows, cols: 1 }, table, { ...place, gap: 0 });
  });
}

const SINK_WIDTH = 12;
const SINK_GAP = 5;
/** A press that moves less than this is a click. */
const STILL = 4;
const STEP = 1.5;

function styleOf(box: Box): CSSProperties {
  return { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` };
}

/**
 * The map. Hover looks, click chooses, arrows walk its cells, Enter chooses, Esc lets go. The wheel zooms while the map
 * has the focus, with Ctrl always; a drag moves the part that is seen.
 */
export function AttentionMap(props: MapProps): JSX.Element {
  const { picture, all, map, rows, width, ratio, hover, chosen, region } = props;
  const words = useWords(attentionWords);
  const { percent } = useWords(sharedWords);
  const full = whole(picture.queries, picture.keys);
  const sunk = rows !== null && rows.sinks && !props.hideSink;
  const sink = useMemo(() => (rows !== null && sunk ? sinkOf(map, rows) : null), [map, rows, sunk]);
  const { dark, theme } = useModel();
  const tooltip = useTooltip();
  const canvas = useRef<HTMLCanvasElement>(null);
  const plane = useRef<HTMLDivElement>(null);
  const focused = useSignal(false);
  const cellId = useDomId();
  const sinkCanvas = useRef<HTMLCanvasElement>(null);
  const held = useRef<{ x: number; y: number; region: Region; moved: boolean } | null>(null);
  const labelsOf = (one: HeadMap): { rows: string[]; cols: string[] } => {
    const label = (starts: number[], tokens: typeof picture.keyTokens): string[] =>
      starts.map((at) => (tokens[at] ? axisLabel(tokens[at]) : ""));
    return { rows: label(one.rowStart, picture.queryTokens), cols: label(one.colStart, picture.keyTokens) };
  };
  const labels = useMemo(() => labelsOf(map), [picture, map.rowStart, map.colStart]);
  const frame = useMemo(() => {
    const named = labelsOf(all);
    // A piece of a character is numbered behind its label.
    const pieces = picture.queryTokens.filter(({ parts }) => parts > 1).map((token) => `${axisLabel(token)} 1/2`);
    const rows = all.block === 1 ? [...named.rows, ...pieces] : named.rows;
    const beside = sunk ? SINK_WIDTH + SINK_GAP : 0;
    return layoutMap(all.rows, all.cols, rows, sunk ? [...named.cols, words.sink] : named.cols, width, ratio, beside);
  }, [picture, all.rows, all.cols, all.rowStart, all.colStart, width, ratio, sunk, words]);
  const layout = useMemo(
    () => (isWhole(region, full) ? frame : stretched(map.rows, map.cols, frame, ratio)),
    [frame, map.rows, map.cols, region, ratio],
  );
  const { lattice } = layout;
  const isDark = dark.value;
  const revision = theme.revision.value;
  useLayoutEffect(() => {
    if (canvas.current && width > 0) drawMap(canvas.current, props, layout, isDark);
    if (sinkCanvas.current && sink && width > 0) drawSink(sinkCanvas.current, props, sink, layout, isDark);
  }, [map, layout, isDark, revision, props.hideSink, width, sink, props.meaning?.entries, ...Object.values(props.coloring)]);

  const at = hover.value;
  const cursorAt = (looked: Partial<Cell>): Cell => ({
    row: Math.min(map.rows - 1, looked.row ?? chosen.row ?? map.rows - 1),
    col: Math.min(map.cols - 1, looked.col ?? chosen.col ?? 0),
  });
  const cursor = cursorAt(at);
  const says = (cell: Cell): Said => props.meaning?.says(cell) ?? cellWords(map, picture, cell, words);
  const tip = (cell: Cell): JSX.Element => {
    const { pair, weight } = says(cell);
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
  const sharesAt = (event: MouseEvent): { x: number; y: number } => {
    const box = plane.current?.getBoundingClientRect();
    const share = (at: number, size: number): number => Math.max(0, Math.min(1, at / size));
    return {
      x: share(event.clientX - (box?.left ?? 0) - lattice.left, map.cols * lattice.pitchX),
      y: share(event.clientY - (box?.top ?? 0) - lattice.top, map.rows * lattice.pitchY),
    };
  };
  const zoom = (factor: number, at?: { x: number; y: number }): void => {
    leave();
    props.onLook(zoomed(region, full, factor, at));
  };
  const onWheel = (event: WheelEvent): void => {
    if (!event.ctrlKey && !focused.peek()) return; // the page scrolls
    event.preventDefault();
    zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 150), sharesAt(event));
  };
  const drag = (event: PointerEvent): boolean => {
    const start = held.current;
    if (start === null || event.buttons === 0) return false;
    const [x, y] = [event.clientX - start.x, event.clientY - start.y];
    if (!start.moved && Math.hypot(x, y) < STILL) return false;
    start.moved = true;
    const perCol = start.region.cols / (map.cols * lattice.pitchX);
    const perRow = start.region.rows / (map.rows * lattice.pitchY);
    leave();
    props.onLook(panned(start.region, full, -y * perRow, -x * perCol));
    return true;
  };
  const overSink = (event: MouseEvent): number | null => {
    const box = plane.current?.getBoundingClientRect();
    if (sink === null || box === undefined) return null;
    const x = event.clientX - box.left - lattice.left + SINK_GAP + SINK_WIDTH;
    const row = Math.floor((event.clientY - box.top - lattice.top) / lattice.pitchY);
    return x >= 0 && x < SINK_WIDTH && row >= 0 && row < map.rows ? row : null;
  };
  const look = (event: PointerEvent): void => {
    if (drag(event)) return;
    const sunkRow = overSink(event);
    if (sunkRow !== null && sink !== null) {
      const { first, last } = rowSpan(map, sunkRow);
      hover.value = { row: sunkRow };
      const share = percent(((sink[sunkRow] as number) * 100).toFixed(1));
      tooltip.show(event, words.sinkTakes(spanName(picture.queryTokens, first, last), share));
      return;
    }
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
  /** At the edge of what is seen, the arrows go on to what lies beyond. */
  const follow = (key: string, here: Cell): void => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[key];
    if (step === undefined) return;
    const [down, across] = step as [number, number];
    const row = (map.rowStart[here.row] ?? 0) + down * map.block;
    const col = (map.colStart[here.col] ?? 0) + across * map.block;
    props.onLook(showing(region, full, row, col));
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // Keys may come faster than the map is drawn: the cursor is where the last key put it.
    const here = cursorAt(hover.peek());
    const part = !isWhole(region, full);
    const next = walked(event.key, here, map.rows, map.cols);
    if (event.key === "+" || event.key === "=") zoom(1 / STEP, { x: here.col / map.cols, y: here.row / map.rows });
    else if (event.key === "-") zoom(STEP, { x: here.col / map.cols, y: here.row / map.rows });
    else if (event.key === "0" || (event.key === "Home" && part)) zoom(Infinity);
    else if (next !== null && part && next.row === here.row && next.col === here.col) follow(event.key, here);
    else if (next !== null) pointTo(next);
    else if (event.key === "Enter" || event.key === " ") props.onChoose(here);
    else if (event.key === "Escape") props.onRelease();
    else return;
    event.preventDefault();
  };

  const spoken = says(cursor);
  const band = (side: "row" | "col", index: number | undefined): JSX.Element | null => {
    if (index === undefined || index >= (side === "row" ? map.rows : map.cols)) return null;
    const box = boxOf(lattice, side === "row" ? { row: index, col: 0 } : { row: 0, col: index });
    const whole =
      side === "row"
        ? { ...box, width: map.cols * lattice.pitchX }
        : { ...box, height: map.rows * lattice.pitchY };
    return <i class="explorer-band" style={styleOf(whole)} />;
  };
  const framed = (cell: Partial<Cell>, kind: string): JSX.Element | null => {
    const { row, col } = cell;
    if (row === undefined || col === undefined || row >= map.rows || col >= map.cols) return null;
    return <i class={`explorer-frame ${kind}`} style={styleOf(boxOf(lattice, { row, col }))} />;
  };

  return (
    <div
      ref={plane}
      class={`explorer-map${map.exact ? "" : " is-waiting"}${isWhole(region, full) ? "" : " is-part"}`}
      style={{ width: `${layout.width}px`, height: `${layout.height}px` }}
      role="grid"
      tabIndex={0}
      aria-label={props.meaning?.label ?? words.map(headsName(words, map))}
      aria-rowcount={map.rows}
      aria-colcount={map.cols}
      aria-activedescendant={cellId}
      onPointerMove={look}
      onPointerLeave={leave}
      onPointerDown={(event) => {
        held.current = { x: event.clientX, y: event.clientY, region, moved: false };
        if (!isWhole(region, full)) event.currentTarget.setPointerCapture?.(event.pointerId);
      }}
      onWheel={onWheel}
      onDblClick={(event) => zoom(1 / (STEP * STEP), sharesAt(event))}
      onClick={(event) => {
        if (held.current?.moved) return; // a drag has ended here
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
      {sink !== null && (
        <canvas
          ref={sinkCanvas}
          aria-hidden="true"
          style={{ left: `${layout.gutterX - SINK_GAP - SINK_WIDTH}px`, top: `${layout.gutterY}px` }}
        />
      )}
      <div aria-hidden="true">
        {sink !== null && (
          <span
            class="explorer-axis is-col"
            style={{ left: `${layout.gutterX - SINK_GAP - SINK_WIDTH / 2}px`, height: `${layout.gutterY - 6}px` }}
          >
            {words.sink}
          </span>
        )}
        {band("row", at.row)}
        {band("col", at.col)}
        <AttentionAxis
          side="row"
          starts={map.rowStart}
          labels={labels.rows}
          tokens={picture.queryTokens}
          layout={layout}
          inset={sunk ? SINK_WIDTH + SINK_GAP : 0}
          chosen={chosen.row}
          hovered={at.row}
          onChoose={props.onChooseRow}
        />
        <AttentionAxis
          side="col"
          starts={map.colStart}
          labels={labels.cols}
          tokens={picture.keyTokens}
          layout={layout}
          chosen={chosen.col}
          hovered={at.col}
        />
        {framed(at, "is-hovered")}
        {focused.value && framed(cursor, "is-hovered")}
        {framed(chosen, "is-chosen")}
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
