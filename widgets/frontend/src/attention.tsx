/** AttentionPanel: the chosen heads large, all heads below, the same selection as in Python. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { ActOnHeads, editedHeads } from "./attention-act";
import { type Coloring, entryOf, isFirstToken, largestInRow, limitOf } from "./attention-colors";
import { AttentionHeads } from "./attention-heads";
import { LIST_GAP, LIST_WIDTH, listBeside } from "./attention-layout";
import { AttentionMap, cellWords } from "./attention-map";
import { type Attention, useAttention } from "./attention-shown";
import {
  type HeadMap,
  type Mode,
  type Picture,
  type Reach,
  type Rows,
  type Selection,
  type State,
  cellOf,
  chosenHeads,
  firstShare,
  headsName,
  hiddenBy,
  orderOf,
  sinkShare,
  unevenRows,
} from "./attention-state";
import { AttentionTable } from "./attention-table";
import { AttentionToolbar, MODES } from "./attention-toolbar";
import { AttentionWeights } from "./attention-weights";
import { AttentionWritten } from "./attention-written";
import {
  type Cell,
  Legend,
  Panel,
  type Rgb,
  Slot,
  type Swatch,
  type Table,
  type TokenStripProps,
  type WireToken,
  type Words,
  attentionWords,
  blockOf,
  measureNames,
  mountPanel,
  sharedWords,
  swatch,
  tableOf,
  useModel,
  useRested,
  useSize,
  useWords,
} from "./shared";

function AttentionPanel(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const { position } = useWords(sharedWords);
  const attention = useAttention();
  const { picture, all, map, rows, selection } = attention;
  const hover = useSignal<Partial<Cell>>({});
  const body = useRef<HTMLDivElement>(null);
  const size = useSize(body);

  const select = (changes: Partial<Selection>): void => {
    const { query = null, key = null, stack = null, kind = "attn" } = selection;
    const { layer, heads } = picture === null ? { layer: 0, heads: [0] } : chosenHeads(selection, picture);
    model.write({ selection: { layer, heads, query, key, stack, kind, ...changes } });
  };
  const release = (): void => select({ query: null, key: null });
  const chooseHead = (layer: number, head: number, how: "alone" | "toggle" | "upTo"): void => {
    const chosen = picture === null ? null : chosenHeads(selection, picture);
    if (chosen === null || how === "alone" || chosen.layer !== layer) select({ layer, heads: [head] });
    else if (how === "toggle") {
      const left = chosen.heads.filter((other) => other !== head);
      const heads = left.length === chosen.heads.length ? [...left, head] : left;
      if (heads.length > 0) select({ heads });
    } else {
      const from = chosen.heads[0] ?? head;
      const step = head < from ? -1 : 1;
      select({ heads: Array.from({ length: Math.abs(head - from) + 1 }, (_, index) => from + index * step) });
    }
  };
  const at: Partial<Cell> = map === null ? {} : cellOf(map, selection);
  const choose = (row: number, col: number): void => {
    if (at.row === row && at.col === col) release();
    else select({ query: map?.rowStart[row] ?? row, key: map?.colStart[col] ?? col });
  };
  const chooseRow = (row: number): void => {
    if (at.row === row && at.col === undefined) release();
    else select({ query: map?.rowStart[row] ?? row, key: null });
  };
  const elsewhere = model.trait("hover").value ?? null;
  const table = tableOf("weight", model.dark.value);
  void model.theme.revision.value; // another surface asks for other inks
  const surface = model.theme.surface();
  const asking = picture !== null && picture.queryTokens === picture.tokens;
  const linked =
    map === null || elsewhere === null || !asking ? undefined : cellOf(map, { query: elsewhere }).row;
  // Without a question the last token's is asked: it decides what comes next.
  const row = map === null ? 0 : Math.min(map.rows - 1, hover.value.row ?? linked ?? at.row ?? map.rows - 1);
  const col = hover.value.col ?? at.col;
  const hideSink = model.trait("hide_sink").value === true;
  const mode = MODES.includes(model.trait("mode").value) ? model.trait("mode").value : "matrix";
  const reach: Reach = model.trait("reach").value ?? "one";
  const scale = model.trait("scale").value ?? "linear";
  const coloring: Coloring = { scale, reach, limit: all === null ? 1 : limitOf(all, reach, hideSink) };
  const chosen = map === null ? "" : headsName(words, map);
  const beside = map !== null && all !== null && listBeside(all.rows, all.cols, size.value.width);
  const ranked = model.trait("ranked").value;
  const order = useMemo(() => picture && orderOf(ranked, picture), [picture, ranked]);
  // Of a long text the strip has hundreds of tokens to colour anew.
  const stripRow = useRested(row, all !== null && all.block > 1);
  const decoding = picture === null || picture.queryTokens === picture.tokens ? null : picture.queryTokens;
  const stripFor = (tokens: readonly WireToken[] | null): Partial<TokenStripProps> =>
    picture === null || map === null || all === null || tokens === null
      ? {}
      : stripOf({
          ...{ picture, map, all, tokens, at, coloring, hideSink, words, table, surface, position, chooseRow, release },
          row: Math.min(map.rows - 1, stripRow),
          hover: (found) => (hover.value = found),
        });
  const [strip, decoderStrip] = useMemo(
    () => [stripFor(picture?.tokens ?? null), stripFor(decoding)],
    [picture, map, all, selection, stripRow, hideSink, words, table, String(surface), ...Object.values(coloring)],
  );
  const sinks = picture !== null && map !== null && picture.sinks[map.layer] === true;

  return (
    <Panel
      name="attention"
      title={words.title}
      subtitle={chosen}
      actions={
        picture !== null &&
        (picture.keys > 1 || sinks) && (
          <button
            type="button"
            class="explorer-button"
            aria-pressed={hideSink}
            title={words.whyHideFirst}
            onClick={() => model.write({ hide_sink: !hideSink })}
          >
            {sinks ? words.hideSinks : words.hideFirst}
          </button>
        )
      }
      tokens={mode === "text" ? [] : (picture?.tokens ?? [])}
      strip={strip}
      {...(decoding && mode !== "text" ? { decoder: { tokens: decoding, strip: decoderStrip } } : {})}
      fault={attention.fault}
      ready={picture !== null && map !== null}
      keys={words.keys}
      legend={<Legend {...ends(coloring, hideSink, words)} table="weight" />}
      aside={<Aside attention={attention} hideSink={hideSink} />}
    >
      <div ref={body} class={`explorer-body${beside ? " is-beside" : ""}`}>
        {picture !== null && map !== null && all !== null && (
          <>
            <AttentionToolbar
              picture={picture}
              mode={mode}
              several={map.heads.length > 1}
              region={attention.region}
              onLook={attention.look}
              onSelect={select}
            />
            <AttentionWritten />
            {mode !== "matrix" ? (
              <Inner mode={mode} />
            ) : (
              <>
                <div class="explorer-large">
                  <AttentionMap
                    picture={picture}
                    all={all}
                    map={map}
                    rows={rows}
                    coloring={coloring}
                    width={beside ? size.value.width - LIST_WIDTH - LIST_GAP : size.value.width}
                    ratio={size.value.ratio}
                    hover={hover}
                    chosen={at}
                    hideSink={hideSink}
                    region={attention.region}
                    onLook={attention.look}
                    onChoose={(cell) => choose(cell.row, cell.col)}
                    onChooseRow={chooseRow}
                    onRelease={release}
                  />
                  <AttentionWeights
                    picture={picture}
                    map={map}
                    row={row}
                    col={col}
                    hideSink={hideSink}
                    shown={beside ? 10 : 5}
                    onHover={(key) => {
                      hover.value = key === null ? {} : { row, col: key };
                    }}
                    onChoose={(key) => choose(row, key)}
                  />
                </div>
                <AttentionTable map={map} picture={picture} chosen={at} />
              </>
            )}
            <div class="explorer-heads-head">
              <h3 class="explorer-caption">
                {words.heads} <HeadsSaid picture={picture} order={order} measure={ranked?.measure ?? ""} />
              </h3>
              <ActOnHeads picture={picture} layer={map.layer} heads={map.heads} />
            </div>
            <AttentionHeads
              picture={picture}
              width={size.value.width}
              ratio={size.value.ratio}
              layer={map.layer}
              heads={map.heads}
              hideFirst={hideSink}
              scale={scale}
              order={order}
              edited={(layer) => editedHeads(model.trait("edits").value ?? [], picture, layer)}
              onChoose={chooseHead}
              onRelease={release}
            />
          </>
        )}
      </div>
      <p class="explorer-hidden" aria-live="polite">
        {picture !== null && map !== null ? announcement(map, picture, at, words) : ""}
      </p>
    </Panel>
  );
}

/** A view that is a widget of its own: Python makes it when it is chosen. */
function Inner({ mode }: { mode: Mode }): JSX.Element {
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const { needsModel } = useWords(sharedWords);
  const reference = model.trait("inner").value?.[mode];
  if (reference !== undefined) return <Slot key={reference} reference={reference} failed={words.viewFailed} />;
  return (
    <p class="explorer-note" role="status">
      {model.connected.value ? words.viewLater : needsModel}
    </p>
  );
}

type AttentionWords = Words<typeof attentionWords>;

interface StripFacts {
  picture: Picture;
  tokens: readonly WireToken[];
  map: HeadMap;
  all: HeadMap;
  row: number;
  at: Partial<Cell>;
  coloring: Coloring;
  hideSink: boolean;
  words: AttentionWords;
  table: Table;
  surface: Rgb | null;
  position: (index: number) => string;
  hover: (cell: Partial<Cell>) => void;
  chooseRow: (row: number) => void;
  release: () => void;
}

/** The prompt's tokens, or the decoder's, in the colours of the row that is asked about, as far as they are its keys. */
function stripOf(facts: StripFacts): Partial<TokenStripProps> {
  const { picture, tokens, map, all, row, at, coloring, hideSink, words, table, position } = facts;
  const asking = picture.queryTokens === tokens;
  const answering = picture.keyTokens === tokens;
  const wholeRow = blockOf(all.rowStart, map.rowStart[row] ?? 0);
  const top = coloring.reach === "row" ? largestInRow(all, wholeRow, hideSink) : coloring.limit;
  const colorOf = (index: number): Swatch | null => {
    const col = blockOf(all.colStart, index);
    if (!answering || (hideSink && isFirstToken(all, col)) || hiddenBy(all, wholeRow, col) !== null) return null;
    const weight = all.weights[wholeRow * all.cols + col] ?? 0;
    return swatch(table, entryOf(weight, top, coloring.scale), facts.surface);
  };
  const inRow = (starts: readonly number[], cell: number | undefined, end: number): number[] => {
    if (cell === undefined) return [];
    const first = starts[cell] ?? 0;
    return Array.from({ length: (starts[cell + 1] ?? end) - first }, (_, offset) => first + offset);
  };
  const rowOf = (index: number): number | undefined => (asking ? cellOf(map, { query: index }).row : undefined);
  return {
    colorOf,
    active: asking && map.block === 1 ? (map.rowStart[row] ?? null) : null,
    selected: [
      ...(asking ? inRow(map.rowStart, at.row, map.rowEnd) : []),
      ...(answering ? inRow(map.colStart, at.col, map.colEnd) : []),
    ],
    describe: (index) => {
      if (!answering) return position(index);
      return cellWords(all, picture, { row: wholeRow, col: blockOf(all.colStart, index) }, words).weight;
    },
    onHover: (index) => {
      const cell = index === null ? undefined : rowOf(index);
      facts.hover(cell === undefined ? {} : { row: cell });
    },
    onClick: (index) => {
      const cell = rowOf(index);
      if (cell !== undefined) facts.chooseRow(cell);
    },
    onRelease: facts.release,
  };
}

/** How many heads there are, or in which order they stand and the way back. */
function HeadsSaid(props: { picture: Picture; order: readonly unknown[] | null; measure: string }): JSX.Element {
  const { picture, order, measure } = props;
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const name = useWords(measureNames).names[measure] ?? measure;
  if (order === null) return <span>{headCount(picture, words)}</span>;
  const all = picture.headsPerLayer.reduce((sum, heads) => sum + heads, 0);
  return (
    <>
      <span role="status">{words.inOrder(name, order.length, all)}</span>{" "}
      <button
        type="button"
        class="explorer-button"
        disabled={!model.connected.value}
        onClick={() => model.write({ order: { ...model.trait("order").peek(), thumbnails: false } })}
      >
        {words.byLayer}
      </button>
    </>
  );
}

function headCount(picture: Picture, words: AttentionWords): string {
  const uneven = new Set(picture.headsPerLayer).size > 1;
  return (uneven ? words.headCountUpTo : words.headCount)(picture.layers, picture.heads);
}

/** What is chosen, for people who listen. */
function announcement(map: HeadMap, picture: Picture, at: Partial<Cell>, words: AttentionWords): string {
  const heads = headsName(words, map);
  if (at.row === undefined || at.col === undefined) return heads;
  const { pair, weight } = cellWords(map, picture, { row: at.row, col: at.col }, words);
  return `${heads} · ${pair} ${weight}`;
}

/** What the ends of the colours mean. */
function ends({ scale, reach, limit }: Coloring, hideSink: boolean, words: AttentionWords): { low: string; high: string } {
  const number = (value: number): string => String(Number(value.toPrecision(2)));
  const low = scale === "log" ? `≤ ${reach === "row" ? "1/10000" : number(limit / 1e4)}` : "0";
  if (reach === "row") return { low, high: words.rowsLargest };
  return { low, high: reach === "one" && !hideSink ? "1" : number(limit) };
}

/** What is hidden, pooled, sampled or still to come, each in a few words. */
function Aside({ attention, hideSink }: { attention: Attention; hideSink: boolean }): JSX.Element | null {
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const { picture, map, rows, selection, error } = attention;
  if (picture === null || map === null) return null;
  const said: string[] = [];
  const chosen = typeof selection.layer === "number";
  if (rows !== null) said.push(...massWords(rows, hideSink, words));
  if (!chosen) said.push(words.noHead);
  else if (map.exact && map.block > 1) said.push(words.blocks(map.block));
  const window = picture.windows[map.layer] ?? null;
  if (window !== null) said.push(words.window(window));
  if (picture.sampled !== null) said.push(words.sampled(picture.sampled, picture.queries));
  if (error !== null) said.push(words.toWithin(error.toFixed(4)));
  return (
    <>
      {said.join(" · ")}
      {!map.exact && chosen && (
        <span class="is-late">
          {said.length > 0 && " · "}
          {model.saved === null ? words.fromThumbnail : words.notCarried}
        </span>
      )}
    </>
  );
}

/** What is hidden of all weight, and what does not add up. */
function massWords(rows: Rows, hideSink: boolean, words: AttentionWords): string[] {
  const percent = (share: number): number => Math.round(share * 100);
  const said: string[] = [];
  const sink = sinkShare(rows);
  if (hideSink) said.push(words.firstHidden(percent(firstShare(rows))));
  if (sink !== null) said.push((hideSink ? words.sinkHidden : words.sinkShown)(percent(sink)));
  const uneven = unevenRows(rows);
  if (uneven > 0) said.push(words.uneven(uneven));
  if (rows.notNumbers > 0) said.push(words.notNumbers(rows.notNumbers));
  return said;
}

export default mountPanel(AttentionPanel);
