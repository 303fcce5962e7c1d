/** All layers and heads at a glance. */

import { useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { entryOf } from "./attention-colors";
import { type Place, byLayer, inOrder } from "./attention-places";
import { type Picture, type Scale, headsName, thumbnail } from "./attention-state";
import {
  type Box,
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
  /** The heads in the order they are listed in; `null` where they stand by layer. */
  order: readonly Place[] | null;
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
      <span>{(picture.notNumbers.has(`${layer}.${head}`) ? words.headNaN : String)(words.head(layer, head))}</span>
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
  const { picture, width, ratio, layer, heads, hideFirst, scale, order } = props;
  const words = useWords(attentionWords);
  const { dark, theme } = useModel();
  const tooltip = useTooltip();
  const canvas = useRef<HTMLCanvasElement>(null);
  const plane = useRef<HTMLDivElement>(null);
  const hover = useSignal<Cell | null>(null);
  const cellId = useDomId();
  const places = useMemo(
    () => (order === null ? byLayer(picture, width, ratio) : inOrder(order, width, ratio)),
    [picture.headsPerLayer, order, width, ratio],
  );
  const { lattice, named } = places;
  const placeOf = (cell: Cell): Box => {
    const box = boxOf(lattice, cell);
    return { ...box, height: box.height - named };
  };
  const isDark = dark.value;
  const revision = theme.revision.value;
  useLayoutEffect(() => {
    if (canvas.current === null || width <= 0) return;
    const table = colorsOn(canvas.current, isDark, scale);
    const size = { width: places.width - lattice.left, height: lattice.rows * lattice.pitchY, ratio };
    paint(canvas.current, size, (target) => {
      const device = (pixels: number): number => Math.round(pixels * ratio);
      for (const [col, row] of places.heads) {
        const box = placeOf(places.cellOf(col, row) as Cell);
        const place = {
          left: device(box.left - lattice.left),
          top: device(box.top),
          width: device(box.width),
          height: device(box.height),
        };
        drawThumbnail(target, picture, col, row, hideFirst, table, place);
      }
    });
  }, [picture, places, isDark, revision, hideFirst, scale, width]);

  const cellUnder = (event: MouseEvent): Cell | null => {
    const frame = plane.current?.getBoundingClientRect();
    return frame ? cellAt(lattice, event.clientX - frame.left, event.clientY - frame.top) : null;
  };
  const leave = (): void => {
    hover.value = null;
    tooltip.hide();
  };
  const look = (event: PointerEvent): void => {
    const cell = cellUnder(event);
    const head = cell && places.headAt(cell);
    if (cell !== null && order === null && picture.headsPerLayer[cell.col] === 0) {
      hover.value = null;
      tooltip.show(event, words.absent(cell.col, picture.absent[cell.col] ?? ""));
      return;
    }
    if (cell === null || head === null) return leave();
    const known = hover.peek();
    if (known?.row !== cell.row || known.col !== cell.col) hover.value = cell;
    tooltip.show(event, <Lens picture={picture} layer={head[0]} head={head[1]} hideFirst={hideFirst} scale={scale} />);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const from = (event.shiftKey ? heads.at(-1) : heads[0]) ?? 0;
    const next = walked(event.key, places.cellOf(layer, from) ?? { row: 0, col: 0 }, lattice.rows, lattice.cols);
    if (next !== null) {
      const head = places.nearest(next);
      const how = event.shiftKey && head?.[0] === layer ? (order === null ? "upTo" : "toggle") : "alone";
      if (head !== null) props.onChoose(...head, how);
    } else if (event.key === "Escape") props.onRelease();
    else return;
    event.preventDefault();
  };

  const styleOf = (cell: Cell): CSSProperties => {
    const box = placeOf(cell);
    return { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` };
  };
  const frame = (kind: string, at: number, head: number): JSX.Element | null => {
    const cell = places.cellOf(at, head);
    return cell && <i key={`${kind}${at}.${head}`} class={kind} style={styleOf(cell)} />;
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
  const number = (kind: string, said: number | string, isChosen: boolean, style: CSSProperties): JSX.Element => (
    <span key={kind + said} class={`explorer-number is-${kind}${isChosen ? " is-chosen" : ""}`} style={style}>
      {said}
    </span>
  );
  const digits = String(Math.max(picture.layers, picture.heads) - 1).length;
  return (
    <div
      ref={plane}
      class="explorer-heads"
      style={{ width: `${places.width}px`, height: `${places.height}px` }}
      role="grid"
      tabIndex={0}
      aria-label={words.grid(picture.layers, picture.heads)}
      aria-multiselectable="true"
      aria-rowcount={lattice.rows}
      aria-colcount={lattice.cols}
      aria-activedescendant={cellId}
      onPointerMove={look}
      onPointerLeave={leave}
      onBlur={leave}
      onClick={(event) => {
        const cell = cellUnder(event);
        const head = cell && places.headAt(cell);
        if (head === null) return;
        const joins = event.ctrlKey || event.metaKey || (event.shiftKey && order !== null);
        props.onChoose(...head, joins ? "toggle" : event.shiftKey ? "upTo" : "alone");
      }}
      onKeyDown={onKeyDown}
    >
      <canvas ref={canvas} aria-hidden="true" style={{ left: `${lattice.left}px` }} />
      <div aria-hidden="true">
        {order === null ? (
          <>
            {numbers(picture.heads, lattice.pitchY, 12, heads).map((head) =>
              number("head", head, heads.includes(head), { top: `${(head + 0.5) * lattice.pitchY - lattice.gap / 2}px` }),
            )}
            {numbers(picture.layers, lattice.pitchX, 7 * digits + 4, [layer]).map((index) =>
              number("layer", index, index === layer, {
                left: `${lattice.left + (index + 0.5) * lattice.pitchX - lattice.gap / 2}px`,
              }),
            )}
            {picture.headsPerLayer.map((count, index) =>
              count === 0 ? <i key={`absent${index}`} class="explorer-absent" style={columnOf(index)} /> : null,
            )}
          </>
        ) : (
          places.heads.map(([at, head]) => {
            const { left, top, width, height } = placeOf(places.cellOf(at, head) as Cell);
            const style = { left: `${left}px`, top: `${top + height}px`, width: `${width}px` };
            return number("name", `${at}.${head}`, at === layer && heads.includes(head), style);
          })
        )}
        {places.heads.map(([at, head]) =>
          picture.notNumbers.has(`${at}.${head}`) ? frame("explorer-absent is-broken", at, head) : null,
        )}
        {picture.headsPerLayer.map((_, index) =>
          props.edited(index).map((head) => frame("explorer-frame is-edited", index, head)),
        )}
        {hover.value !== null && <i class="explorer-frame is-hovered" style={styleOf(hover.value)} />}
        {heads.map((head) => frame("explorer-frame is-chosen", layer, head))}
      </div>
      <div role="row" aria-rowindex={(heads[0] ?? 0) + 1} class="explorer-hidden">
        <div id={cellId} role="gridcell" aria-colindex={layer + 1} aria-selected="true">
          {headsName(words, props)}
        </div>
      </div>
    </div>
  );
}
