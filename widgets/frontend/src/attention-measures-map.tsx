/** One measure of all heads: layers from left to right, heads from top to bottom. */

import { useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { layoutHeads } from "./attention-layout";
import { shown } from "./attention-measures-table";
import { type Head, type Measured, shortName } from "./attention-ranked";
import {
  type Cell,
  blit,
  boxOf,
  cellAt,
  labelStep,
  measureNames,
  measuresWords,
  paint,
  pixelsOver,
  surfaceBehind,
  tableOf,
  useDomId,
  useModel,
  useTooltip,
  useWords,
  walked,
  weightIndex,
} from "./shared";

export interface MeasuresMapProps {
  measured: Measured;
  measure: string;
  /** What the strongest colour means. */
  most: number;
  /** The heads that pass the filter; the others are marked as left out. */
  kept: readonly Head[];
  chosen: Head;
  width: number;
  ratio: number;
  onChoose: (head: Head) => void;
}

export function MeasuresMap(props: MeasuresMapProps): JSX.Element {
  const { measured, measure, most, kept, chosen, width, ratio } = props;
  const words = useWords(measuresWords);
  const { names } = useWords(measureNames);
  const { dark, theme } = useModel();
  const tooltip = useTooltip();
  const canvas = useRef<HTMLCanvasElement>(null);
  const plane = useRef<HTMLDivElement>(null);
  const hover = useSignal<Cell | null>(null);
  const cellId = useDomId();
  const perLayer = measured.heads_per_layer;
  const [layers, heads] = [perLayer.length, Math.max(1, ...perLayer)];
  const layout = useMemo(() => layoutHeads(layers, heads, width, ratio), [layers, heads, width, ratio]);
  const { lattice } = layout;
  const passed = useMemo(() => new Set(kept.map(shortName)), [kept]);
  const isDark = dark.value;
  const revision = theme.revision.value;
  useLayoutEffect(() => {
    if (canvas.current === null || width <= 0) return;
    const table = tableOf("weight", isDark);
    const pixels = pixelsOver(table, surfaceBehind(canvas.current) ?? table.surface);
    const size = { width: layout.width - lattice.left, height: lattice.rows * lattice.pitchY, ratio };
    paint(canvas.current, size, (target) => {
      for (const at of measured.all) {
        if (!passed.has(shortName(at))) continue;
        const values = Uint8Array.of(weightIndex(measured.valueOf(measure, at) / most));
        const box = boxOf({ ...lattice, left: 0 }, { row: at.head, col: at.layer });
        const device = (edge: number): number => Math.round(edge * ratio);
        const [left, top] = [device(box.left), device(box.top)];
        const size = { width: device(box.left + box.width) - left, height: device(box.top + box.height) - top };
        blit(target, { values, rows: 1, cols: 1 }, pixels, { left, top, ...size });
      }
    });
  }, [measured, measure, most, passed, layout, isDark, revision, width]);

  const said = (at: Head): string => {
    const value = measured.valueOf(measure, at);
    const [head, name] = [words.head(at.layer, at.head), names[measure] ?? measure];
    if (Number.isNaN(value)) return words.at(head, name, words.nothing);
    return (passed.has(shortName(at)) ? words.at : words.leftOut)(head, name, shown(value));
  };
  const under = (event: MouseEvent): Cell | null => {
    const frame = plane.current?.getBoundingClientRect();
    return frame ? cellAt(lattice, event.clientX - frame.left, event.clientY - frame.top) : null;
  };
  const isHead = (cell: Cell): boolean => cell.row < (perLayer[cell.col] ?? 0);
  const leave = (): void => {
    hover.value = null;
    tooltip.hide();
  };
  const look = (event: PointerEvent): void => {
    const cell = under(event);
    if (cell !== null && isHead(cell)) {
      hover.value = cell;
      tooltip.show(event, said({ layer: cell.col, head: cell.row }));
    } else if (cell !== null && perLayer[cell.col] === 0) {
      hover.value = null;
      tooltip.show(event, words.absent(cell.col));
    } else leave();
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const next = walked(event.key, { row: chosen.head, col: chosen.layer }, heads, layers);
    if (next === null) return;
    event.preventDefault();
    const last = (perLayer[next.col] ?? 0) - 1;
    if (last >= 0) props.onChoose({ layer: next.col, head: Math.min(next.row, last) });
  };
  const styleOf = ({ layer, head }: Head): CSSProperties => {
    const box = boxOf(lattice, { row: head, col: layer });
    return { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` };
  };
  const numbers = (count: number, pitch: number, needed: number): number[] => {
    const step = labelStep(pitch, needed);
    return Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step);
  };
  const empty = measured.all.filter((at) => Number.isNaN(measured.valueOf(measure, at)));
  const left = measured.all.filter((at) => !passed.has(shortName(at)) && !Number.isNaN(measured.valueOf(measure, at)));
  return (
    <div
      ref={plane}
      class="explorer-measures-map"
      style={{ width: `${layout.width}px`, height: `${layout.height}px` }}
      role="grid"
      tabIndex={0}
      aria-label={words.map(names[measure] ?? measure)}
      aria-rowcount={heads}
      aria-colcount={layers}
      aria-activedescendant={cellId}
      onPointerMove={look}
      onPointerLeave={leave}
      onBlur={leave}
      onClick={(event) => {
        const cell = under(event);
        if (cell !== null && isHead(cell)) props.onChoose({ layer: cell.col, head: cell.row });
      }}
      onKeyDown={onKeyDown}
    >
      <canvas ref={canvas} aria-hidden="true" style={{ left: `${lattice.left}px` }} />
      <div aria-hidden="true">
        {numbers(heads, lattice.pitchY, 12).map((head) => (
          <span
            key={`head${head}`}
            class="explorer-measures-number is-head"
            style={{ top: `${(head + 0.5) * lattice.pitchY - lattice.gap / 2}px` }}
          >
            {head}
          </span>
        ))}
        {numbers(layers, lattice.pitchX, 7 * String(layers - 1).length + 4).map((layer) => (
          <span
            key={`layer${layer}`}
            class="explorer-measures-number is-layer"
            style={{ left: `${lattice.left + (layer + 0.5) * lattice.pitchX - lattice.gap / 2}px` }}
          >
            {layer}
          </span>
        ))}
        {left.map((at) => (
          <i key={shortName(at)} class="explorer-measures-left" style={styleOf(at)} />
        ))}
        {empty.map((at) => (
          <i key={shortName(at)} class="explorer-measures-empty" style={styleOf(at)} />
        ))}
        {hover.value !== null && (
          <i class="explorer-measures-frame" style={styleOf({ layer: hover.value.col, head: hover.value.row })} />
        )}
        <i class="explorer-measures-frame is-chosen" style={styleOf(chosen)} />
      </div>
      <div role="row" aria-rowindex={chosen.head + 1} class="explorer-hidden" aria-live="polite">
        <div id={cellId} role="gridcell" aria-colindex={chosen.layer + 1} aria-selected="true">
          {said(chosen)}
        </div>
      </div>
    </div>
  );
}
