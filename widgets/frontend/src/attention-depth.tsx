/** What positions draw from over depth: attention rollout, attention flow, and weights by what they move. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { type CellsView, cellAtPositions, readCells, written } from "./attention-cells";
import { entriesOf, limitOf } from "./attention-colors";
import { type Said, cellWords } from "./attention-map";
import { Plane, useLook } from "./attention-plane";
import { AsSaved } from "./attention-saved";
import { type HeadMap, type Selection, type Sides, headsName, hiddenBy } from "./attention-state";
import { Choose, Zoom } from "./attention-toolbar";
import {
  type Cell,
  type CommonState,
  Legend,
  Panel,
  type WireToken,
  attentionWords,
  depthWords,
  mountPanel,
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
}

export interface DepthPicture {
  tokens: WireToken[];
  measure: Measure;
  layers: number;
  sides: Sides;
  all: HeadMap;
  /** Rows that are there; flow is computed row by row. */
  ready: number;
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readDepth(view: DepthViewState): DepthPicture {
  const all = readCells(view);
  const { query_tokens: queryTokens, key_tokens: keyTokens } = view;
  if (queryTokens.length !== view.rows || keyTokens.length !== view.columns) {
    throw new Error(`view has ${queryTokens.length} and ${keyTokens.length} tokens for ${view.rows} x ${view.columns}.`);
  }
  const missing = (row: number): boolean => Number.isNaN(all.weights[row * all.cols]);
  const ready = all.rowStart.filter((_, row) => !missing(row)).length;
  const sides = { queries: view.rows, keys: view.columns, queryTokens, keyTokens };
  return { tokens: view.tokens, measure: view.measure, layers: view.layers, sides, all, ready };
}

function DepthView(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(depthWords);
  const attention = useWords(attentionWords);
  const { picture, fault } = usePicture<DepthViewState, DepthPicture>(readDepth as never).value;
  const selection = model.trait("selection").value ?? {};
  const reach: Reach = model.trait("reach").value ?? "map";
  const all = picture?.all ?? null;
  const coloring = {
    scale: "linear",
    reach: reach === "row" ? "row" : "map",
    limit: all === null ? 1 : limitOf(all, "map", reach === "rest"),
  } as const;
  const entries = useMemo(
    () => (all === null ? new Uint8Array() : entriesOf(all, coloring, reach === "rest")),
    [all, reach],
  );
  const what =
    picture === null ? "" : picture.measure === "norm" ? headsName(attention, picture.all) : words.upTo(picture.all.layer);
  const asked = model.trait("measure").value ?? picture?.measure ?? "rollout";
  const number = (value: number): string => String(Number(value.toPrecision(2)));
  const legend = { low: "0", high: reach === "row" ? words.rowsLargest : number(coloring.limit) };
  const said = (found: DepthPicture): string =>
    [
      ...(found.ready < found.all.rows ? [words.rowsMissing(found.ready, found.all.rows)] : []),
      ...(found.all.block > 1 ? [attention.blocks(found.all.block)] : []),
      ...(reach === "rest" ? [words.firstHidden] : []),
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
      {picture !== null && (
        <Depth {...{ picture, entries, selection, what }} hideFirst={reach === "rest"} asked={asked} reach={reach} />
      )}
    </Panel>
  );
}

interface DepthProps {
  picture: DepthPicture;
  entries: Uint8Array;
  selection: Partial<Selection>;
  what: string;
  hideFirst: boolean;
  asked: Measure;
  reach: Reach;
}

function Depth({ picture, entries, selection, what, hideFirst, asked, reach }: DepthProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(depthWords);
  const attention = useWords(attentionWords);
  const { sides, all, measure } = picture;
  const live = model.connected.value;
  const { says, empty } = useMemo(() => {
    const empty = ({ row, col }: Cell): boolean => Number.isNaN(all.weights[row * all.cols + col]);
    const says = (cell: Cell): Said => {
      const said = cellWords(all, sides, cell, attention);
      if (hiddenBy(all, cell.row, cell.col) !== null) return said;
      if (measure === "flow" && empty(cell)) return { ...said, weight: words.notComputed };
      const value = written(all.weights[cell.row * all.cols + cell.col] ?? NaN, attention.notANumber);
      const { block } = all;
      return { ...said, weight: block === 1 ? value : attention.largestInBlock(value, block, block) };
    };
    return { says, empty };
  }, [picture, words, attention]);
  const choose = ({ row, col }: Partial<Cell>): void => {
    const query = row === undefined ? null : (all.rowStart[row] ?? null);
    const key = col === undefined ? null : (all.colStart[col] ?? null);
    const now = model.trait("selection").peek() ?? {}; // the layer may have moved since this was drawn
    model.write({ selection: { layer: null, heads: null, stack: null, kind: "attn", ...now, query, key } });
  };
  const looked = useLook(sides.queries, sides.keys);
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
        {...{ sides, all, entries, says, empty, hideFirst, looked }}
        table="weight"
        label={words.map[measure](what)}
        chosen={cellAtPositions(all, selection.query ?? null, selection.key ?? null)}
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
