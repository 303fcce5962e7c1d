/** All layers and heads at a glance. */

import { useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { layoutHeads } from "./attention-layout";
import { entryOf } from "./attention-colors";
import { type Picture, type Scale, headsName, thumbnail } from "./attention-state";
import {
  type Cell,
  type Pixels,
  attentionWords,
  blit,
  boxOf,
  cellAt,
  labelStep,
  paint,
  pixelsOver,
  surfaceBehind,
  tableOf,
  useDomId,
  useModel,
  useTooltip,
  useWords,
  walked,
} from "./shared";

export interface HeadsProps {
  picture: Picture;
  width: number;
  ratio: number;
  /** The layer and the heads that are chosen. */
  layer: number;
  heads: readonly number[];
  /** Whether the first token's column is left out, where a thumbnail's column is one token. */
  hideFirst: boolean;
  scale: Scale;
  /** The heads of a layer that are edited. */
  edited: (layer: number) => readonly number[];
  /** A click or key on a head; with Ctrl it joins the chosen ones or leaves them, with Shift all up to it join. */
  onChoose: (layer: number, head: number, how: "alone" | "toggle" | "upTo") => void;
  onRelease: () => void;
}

const LENS = 132;

/** One head's map, enlarged. */
function Lens({
  picture,
  layer,
  head,
  hideFirst,
  scale,
}: {
  picture: Picture;
  layer: number;
  head: number;
  hideFirst: boolean;
  scale: Scale;
}): JSX.Element {
  const { dark, theme } = useModel();
  const words = useWords(attentionWords);
  const canvas = useRef<HTMLCanvasElement>(null);
  const isDark = dark.value;
  const revision = theme.revision.value;
  useLayoutEffect(() => {
    if (canvas.current === null) return;
    const table = colorsOn(canvas.current, isDark, scale);
    const size = { width: LENS, height: LENS, ratio: globalThis.devicePixelRatio || 1 };
    paint(canvas.current, size, (target) => {
      const all = { left: 0, top: 0, width: target.width, height: target.height };
      drawThumbnail(target, picture, layer, head, hideFirst, table, all);
    });
  }, [picture, layer, head, hideFirst, scale, isDark, revision]);
  return (
    <div class="explorer-lens">
      <canvas ref={canvas} />
      <span>{words.head(layer, head)}</span>
    </div>
  );
}

/** The colours of a thumbnail's bytes. */
function colorsOn(canvas: Element, dark: boolean, scale: Scale): Uint32Array {
  const table = tableOf("weight", dark);
  const pixels = pixelsOver(table, surfaceBehind(canvas) ?? table.surface);
  return pixels.map((_, byte) => pixels[entryOf(byte / 255, 1, scale)] as number);
}

function drawThumbnail(
  target: Pixels,
  picture: Picture,
  layer: number,
  head: number,
  hideFirst: boolean,
  table: Uint32Array,
  place: { left: number; top: number; width: number; height: number },
): void {
  const { rows, cols, keys } = picture;
  let values = thumbnail(picture, layer, head);
  if (hideFirst && cols === keys)
    values = values.map((value, index) => (index % cols === 0 ? 0 : value));
  blit(target, { values, rows, cols }, table, place);
}

/** The thumbnails: layers from left to right, heads from top to bottom. Hover enlarges, click chooses, arrows walk. */
export function AttentionHeads(props: HeadsProps): JSX.Element {
  const { picture, width, ratio, layer, heads, hideFirst, scale } = props;
  const words = useWords(attentionWords);
  const { dark, theme } = useModel();
  const tooltip = useTooltip();
  const canvas = useRef<HTMLCanvasElement>(null);
  const plane = useRef<HTMLDivElement>(null);
  const hover = useSignal<Cell | null>(null);
  const cellId = useDomId();
  const layout = useMemo(
    () => layoutHeads(picture.layers, picture.heads, width, ratio),
    [picture.layers, picture.heads, width, ratio],
  );
  const { lattice } = layout;
  const isDark = dark.value;
  const revision = theme.revision.value;
  useLayoutEffect(() => {
    if (canvas.current === null || width <= 0) return;
    const table = colorsOn(canvas.current, isDark, scale);
    const size = { width: layout.width - lattice.left, height: lattice.rows * lattice.pitchY, ratio };
    paint(canvas.current, size, (target) => {
      const device = (pixels: number): number => Math.round(pixels * ratio);
      for (let col = 0; col < picture.layers; col++) {
        for (let row = 0; row < (picture.headsPerLayer[col] ?? 0); row++) {
          const box = boxOf({ ...lattice, left: 0 }, { row, col });
          const place = {
            left: device(box.left),
            top: device(box.top),
            width: device(box.width),
            height: device(box.height),
          };
          drawThumbnail(target, picture, col, row, hideFirst, table, place);
        }
      }
    });
  }, [picture, layout, isDark, revision, hideFirst, scale, width]);

  const headUnder = (event: MouseEvent): Cell | null => {
    const frame = plane.current?.getBoundingClientRect();
    const cell = frame ? cellAt(lattice, event.clientX - frame.left, event.clientY - frame.top) : null;
    return cell !== null && cell.row < (picture.headsPerLayer[cell.col] ?? 0) ? cell : null;
  };
  const absentUnder = (event: MouseEvent): number | null => {
    const frame = plane.current?.getBoundingClientRect();
    const cell = frame ? cellAt(lattice, event.clientX - frame.left, event.clientY - frame.top) : null;
    return cell !== null && picture.headsPerLayer[cell.col] === 0 ? cell.col : null;
  };
  const leave = (): void => {
    hover.value = null;
    tooltip.hide();
  };
  const look = (event: PointerEvent): void => {
    const cell = headUnder(event);
    const absent = absentUnder(event);
    if (absent !== null) {
      hover.value = null;
      tooltip.show(event, words.absent(absent, picture.absent[absent] ?? ""));
      return;
    }
    if (cell === null) return leave();
    const known = hover.peek();
    if (known?.row !== cell.row || known.col !== cell.col) hover.value = cell;
    tooltip.show(event, <Lens picture={picture} layer={cell.col} head={cell.row} hideFirst={hideFirst} scale={scale} />);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const here = { row: (event.shiftKey ? heads.at(-1) : heads[0]) ?? 0, col: layer };
    const next = walked(event.key, here, picture.heads, picture.layers);
    if (next !== null) {
      // A layer may have fewer heads than its neighbour, or none at all.
      const most = (picture.headsPerLayer[next.col] ?? 0) - 1;
      const how = event.shiftKey && next.col === layer ? "upTo" : "alone";
      if (most >= 0) props.onChoose(next.col, Math.min(next.row, most), how);
    } else if (event.key === "Escape") props.onRelease();
    else return;
    event.preventDefault();
  };

  const styleOf = (cell: Cell): CSSProperties => {
    const box = boxOf(lattice, cell);
    return { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` };
  };
  const columnOf = (col: number): CSSProperties => {
    const box = boxOf(lattice, { row: 0, col });
    return { ...styleOf({ row: 0, col }), height: `${lattice.rows * lattice.pitchY - (lattice.pitchY - box.height)}px` };
  };
  // Labels that fit, and always the chosen one in place of those it would run into.
  const numbers = (count: number, pitch: number, needed: number, chosen: readonly number[]): number[] => {
    const step = labelStep(pitch, needed);
    const fits = Array.from({ length: Math.ceil(count / step) }, (_, index) => index * step);
    const free = fits.filter((index) => chosen.every((other) => Math.abs(other - index) * pitch >= needed));
    return [...free, ...chosen.filter((index) => index < count)];
  };
  const digits = String(Math.max(picture.layers, picture.heads) - 1).length;
  return (
    <div
      ref={plane}
      class="explorer-heads"
      style={{ width: `${layout.width}px`, height: `${layout.height}px` }}
      role="grid"
      tabIndex={0}
      aria-label={words.grid(picture.layers, picture.heads)}
      aria-multiselectable="true"
      aria-rowcount={picture.heads}
      aria-colcount={picture.layers}
      aria-activedescendant={cellId}
      onPointerMove={look}
      onPointerLeave={leave}
      onBlur={leave}
      onClick={(event) => {
        const cell = headUnder(event);
        if (cell === null) return;
        const how = event.shiftKey ? "upTo" : event.ctrlKey || event.metaKey ? "toggle" : "alone";
        props.onChoose(cell.col, cell.row, how);
      }}
      onKeyDown={onKeyDown}
    >
      <canvas ref={canvas} aria-hidden="true" style={{ left: `${lattice.left}px` }} />
      <div aria-hidden="true">
        {numbers(picture.heads, lattice.pitchY, 12, heads).map((head) => (
          <span
            key={`head${head}`}
            class={`explorer-number is-head${heads.includes(head) ? " is-chosen" : ""}`}
            style={{ top: `${(head + 0.5) * lattice.pitchY - lattice.gap / 2}px` }}
          >
            {head}
          </span>
        ))}
        {numbers(picture.layers, lattice.pitchX, 7 * digits + 4, [layer]).map((index) => (
          <span
            key={`layer${index}`}
            class={`explorer-number is-layer${index === layer ? " is-chosen" : ""}`}
            style={{ left: `${lattice.left + (index + 0.5) * lattice.pitchX - lattice.gap / 2}px` }}
          >
            {index}
          </span>
        ))}
        {picture.headsPerLayer.map((count, index) =>
          count === 0 ? <i key={`absent${index}`} class="explorer-absent" style={columnOf(index)} /> : null,
        )}
        {picture.headsPerLayer.map((_, index) =>
          props.edited(index).map((head) => (
            <i key={`edited${index}/${head}`} class="explorer-frame is-edited" style={styleOf({ row: head, col: index })} />
          )),
        )}
        {hover.value !== null && <i class="explorer-frame is-hovered" style={styleOf(hover.value)} />}
        {heads.map((head) => (
          <i key={head} class="explorer-frame is-chosen" style={styleOf({ row: head, col: layer })} />
        ))}
      </div>
      <div role="row" aria-rowindex={(heads[0] ?? 0) + 1} class="explorer-hidden">
        <div id={cellId} role="gridcell" aria-colindex={layer + 1} aria-selected="true">
          {headsName(words, props)}
        </div>
      </div>
    </div>
  );
}
