/** What positions draw from over depth: attention rollout, attention flow, and weights by what they move. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { type CellsView, type Mapped, readCells, written } from "./attention-cells";
import { entryOf, limitOf } from "./attention-colors";
import { type Said, cellWords } from "./attention-map";
import { type Looked, type Places, Plane, Together, useLook } from "./attention-plane";
import { AsSaved } from "./attention-saved";
import { type HeadMap, type Selection, headsName, rowSpan } from "./attention-state";
import { Choose, Zoom } from "./attention-toolbar";
import {
  type Cell,
  type CommonState,
  Legend,
  Panel,
  type WireArray,
  type WireToken,
  attentionWords,
  decodeFloats,
  depthWords,
  mountPanel,
  planeWords,
  useDomId,
  useModel,
  usePicture,
  useWords,
} from "./shared";

export type Measure = "rollout" | "flow" | "norm";
type Reach = "map" | "row" | "rest";

interface State extends CommonState {
  selection: Partial<Selection>;
  measure: Measure;
  every: boolean;
  reach: Reach;
}

export interface DepthViewState extends CellsView {
  measure: Measure;
  layers: number;
  query_tokens: WireToken[];
  key_tokens: WireToken[];
  /** (row,): the largest number of each. */
  largest: WireArray;
  /** (row of cells,): the first cells without the first token, where they hold others as well. */
  rest: WireArray;
}

export interface DepthPicture extends Mapped {
  tokens: WireToken[];
  measure: Measure;
  layers: number;
  /** The same map without the first token. */
  rest: HeadMap;
  largest: Float32Array;
  /** Rows that are there; flow is computed row by row. */
  ready: number;
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readDepth(view: DepthViewState): DepthPicture {
  const { all, seen } = readCells(view);
  const { query_tokens: queryTokens, key_tokens: keyTokens } = view;
  if (queryTokens.length !== view.rows || keyTokens.length !== view.columns) {
    throw new Error(`view has ${queryTokens.length} and ${keyTokens.length} tokens for ${view.rows} x ${view.columns}.`);
  }
  const missing = (row: number): boolean => Number.isNaN(all.weights[row * all.cols]);
  const ready = all.rowStart.filter((_, row) => !missing(row)).length;
  const sides = { queries: view.rows, keys: view.columns, queryTokens, keyTokens };
  const rest = { ...all, weights: all.weights.slice() };
  if (all.block > 1) {
    decodeFloats(view.rest, "view.rest", 1).values.forEach((value, row) => (rest.weights[row * all.cols] = value));
  }
  const largest = decodeFloats(view.largest, "view.largest", 1).values;
  const { request, tokens, measure, layers } = view;
  return { request, tokens, measure, layers, sides, all, rest, seen, largest, ready };
}

/** The colours of a part of the map. */
function entriesOf(map: HeadMap, { largest }: DepthPicture, reach: Reach, limit: number): Uint8Array {
  const entries = new Uint8Array(map.rows * map.cols);
  for (let row = 0; row < map.rows; row++) {
    const { first, last } = rowSpan(map, row);
    const top = reach === "row" ? Math.max(...largest.subarray(first, last + 1)) : limit;
    for (let at = row * map.cols; at < (row + 1) * map.cols; at++) {
      entries[at] = entryOf(map.weights[at] as number, top, "linear");
    }
  }
  return entries;
}

function DepthView(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(depthWords);
  const attention = useWords(attentionWords);
  const plane = useWords(planeWords);
  const { picture, fault } = usePicture<DepthViewState, DepthPicture>(readDepth as never).value;
  const reach: Reach = model.trait("reach").value ?? "map";
  const hideFirst = reach === "rest";
  const of = useMemo<Mapped | null>(
    () => (picture !== null && hideFirst ? { ...picture, all: picture.rest } : picture),
    [picture, hideFirst],
  );
  const looked = useLook(of, hideFirst);
  const limit = useMemo(() => (of === null ? 1 : limitOf(of.all, "map", hideFirst)), [of, hideFirst]);
  const what =
    picture === null ? "" : picture.measure === "norm" ? headsName(attention, picture.all) : words.upTo(picture.all.layer);
  const number = (value: number): string => String(Number(value.toPrecision(2)));
  const legend = { low: "0", high: reach === "row" ? words.rowsLargest : number(limit) };
  const said = (found: DepthPicture): string =>
    [
      ...(found.ready < found.all.rows ? [words.rowsMissing(found.ready, found.all.rows)] : []),
      ...(looked.late === null ? [] : [plane.late[looked.late]]),
      ...(looked.map !== null && looked.map.block > 1 ? [words.blocks(looked.map.block)] : []),
      ...(hideFirst ? [words.firstHidden] : []),
      words.meanings[found.measure],
    ].join(" · ");
  return (
    <Panel
      name="depth"
      title={words.title}
      subtitle={picture === null ? "" : `${words.measures[picture.measure]} · ${what}`}
      tokens={picture?.tokens ?? []}
      ready={picture !== null || fault !== null}
      fault={fault}
      keys={words.keys}
      legend={<Legend table="weight" {...legend} />}
      aside={picture === null ? "" : said(picture)}
    >
      <AsSaved />
      {picture !== null && of !== null && <Depth {...{ picture, of, looked, what, reach, limit }} />}
    </Panel>
  );
}

interface DepthProps {
  picture: DepthPicture;
  /** The map as it is coloured: without the first token, where that is hidden. */
  of: Mapped;
  looked: Looked;
  what: string;
  reach: Reach;
  limit: number;
}

function Depth({ picture, of, looked, what, reach, limit }: DepthProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(depthWords);
  const attention = useWords(attentionWords);
  const selection = model.trait("selection").value ?? {};
  const asked = model.trait("measure").value ?? picture.measure;
  const live = model.connected.value;
  const map = looked.map ?? of.all;
  const entries = useMemo(() => entriesOf(map, picture, reach, limit), [map, picture, reach, limit]);
  const { says, empty } = useMemo(() => {
    const empty = (map: HeadMap, { row, col }: Cell): boolean => Number.isNaN(map.weights[row * map.cols + col]);
    const says = (map: HeadMap, cell: Cell): Said => {
      const missing = picture.measure === "flow" && empty(map, cell);
      const value = written(map.weights[cell.row * map.cols + cell.col] ?? NaN, attention.notANumber);
      return cellWords(map, of.sides, cell, attention, missing ? words.notComputed : value);
    };
    return { says, empty };
  }, [picture, of, words, attention]);
  const choose = ({ query = null, key = null }: Places): void => {
    const now = model.trait("selection").peek() ?? {}; // the layer may have moved since this was drawn
    model.write({ selection: { layer: null, heads: null, stack: null, kind: "attn", ...now, query, key } });
  };
  return (
    <>
      <div class="explorer-toolbar">
        <Choose
          label={words.measure}
          value={asked}
          disabled={!live}
          onChoose={(value) => model.write({ measure: value as Measure })}
          options={Object.entries(words.measures)}
        />
        {asked === "norm" && (selection.heads?.length ?? 1) > 1 && <Together />}
        <Layer picture={picture} selection={selection} disabled={!live} />
        <Choose
          label={words.reach}
          value={reach}
          onChoose={(value) => model.write({ reach: value as Reach })}
          options={Object.entries(words.reaches)}
        />
        {asked === "flow" && (
          <button
            type="button"
            class="explorer-button"
            aria-pressed={model.trait("every").value === true}
            title={words.whyEveryRow}
            disabled={!live}
            onClick={() => model.write({ every: model.trait("every").value !== true })}
          >
            {words.everyRow}
          </button>
        )}
        <Zoom {...looked} />
      </div>
      <Plane
        {...{ of, looked, entries, says, empty }}
        hideFirst={reach === "rest"}
        table="weight"
        label={words.map[picture.measure](what)}
        chosen={selection}
        onChoose={choose}
      />
    </>
  );
}

interface LayerProps {
  picture: DepthPicture;
  selection: Partial<Selection>;
  disabled: boolean;
}

/** The layer up to which, as a slider: what is drawn follows it. */
function Layer({ picture, selection, disabled }: LayerProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(depthWords);
  const id = useDomId();
  const layer = selection.layer ?? picture.all.layer;
  return (
    <span class="explorer-depth-layer">
      <label for={id}>{words.layer}</label>
      <input
        id={id}
        type="range"
        min={0}
        max={picture.layers - 1}
        step={1}
        value={layer}
        disabled={disabled}
        onInput={(event) => {
          const { heads = [0], query = null, key = null, stack = null, kind = "attn" } = selection;
          model.write({ selection: { heads, query, key, stack, kind, layer: Number(event.currentTarget.value) } });
        }}
      />
      <output for={id}>{layer}</output>
    </span>
  );
}

export default mountPanel(DepthView);
