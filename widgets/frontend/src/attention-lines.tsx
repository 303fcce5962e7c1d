/** Two columns of tokens with a line for each weight: the heads beside each other, a token at a time or all at once. */

import { type Signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { LineKey, drawLines } from "./attention-lines-drawing";
import {
  type Asked,
  type Lines,
  type LinesPicture,
  type Place,
  type Side,
  chosenLines,
  placeOf,
  readLines,
  rowOf,
  strokes,
  thresholdAt,
  usualThreshold,
} from "./attention-lines-picture";
import { ROW, TokenColumn, valuesWidth, weightWords } from "./attention-lines-tokens";
import { AsSaved } from "./attention-saved";
import type { Selection } from "./attention-state";
import {
  type CommonState,
  NumberTable,
  Panel,
  linesWords,
  mountPanel,
  tokenName,
  useAround,
  useModel,
  usePicture,
  useSize,
  useWords,
} from "./shared";

interface State extends CommonState {
  selection: Partial<Selection>;
  asked: Partial<Asked>;
  threshold: number | null;
}

// What fits a screen beside the prompt and the heads; longer columns scroll.
const MOST_HEIGHT = 24 * ROW;
// More lines at once are a plain area, and cost the browser its next frame.
const MOST_STROKES = 4000;
// How many of a token's weights are said below.
const SAID = 4;

const other = (side: Side): Side => (side === "query" ? "key" : "query");

function LinesPanel(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(linesWords);
  const { picture, fault } = usePicture(readLines as never).value as { picture: LinesPicture | null; fault: null };
  const hideFirst = useAround("hide_sink", false);
  const off = useSignal<readonly number[]>([]);
  const pointed = useSignal<Place | null>(null);
  return (
    <Panel
      name="lines"
      title={words.title}
      subtitle={picture === null ? "" : words.layer(picture.layer)}
      tokens={picture?.tokens.query ?? []}
      ready={picture !== null}
      fault={fault}
      keys={words.keys}
      legend={<span>{words.meaning}</span>}
      aside={picture === null ? "" : asideOf(picture, words)}
    >
      <AsSaved />
      {picture !== null && (
        <Drawn {...{ picture, hideFirst, off, pointed }} selection={model.trait("selection").value ?? {}} />
      )}
    </Panel>
  );
}

function asideOf(picture: LinesPicture, words: LinesWords): string {
  const said: string[] = [];
  if (picture.chosen > picture.heads.length) said.push(words.firstHeads(picture.heads.length, picture.chosen));
  if (picture.leftOut > 0) said.push(words.leftOut(picture.leftOut, short(picture.floor)));
  if (picture.notNumbers > 0) said.push(words.notNumbers(picture.notNumbers));
  return said.join(" · ");
}

type LinesWords = (typeof linesWords)["en"];

const short = (weight: number): string => String(Number(weight.toPrecision(2)));

interface DrawnProps {
  picture: LinesPicture;
  selection: Partial<Selection>;
  hideFirst: boolean;
  off: Signal<readonly number[]>;
  pointed: Signal<Place | null>;
}

/** What is pinned: the token that attends, else the one that is attended to. */
function pinnedOf(picture: LinesPicture, { query, key }: Partial<Selection>): Place | null {
  if (typeof query === "number" && query < picture.tokens.query.length) return { side: "query", index: query };
  if (typeof key === "number" && key < picture.tokens.key.length) return { side: "key", index: key };
  return null;
}

function Drawn({ picture, selection, hideFirst, off, pointed }: DrawnProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(linesWords);
  const room = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSize(room);
  const top = useSignal(0);
  const asked = model.trait("asked").value ?? {};
  const pinned = pinnedOf(picture, selection);
  // A pinned token keeps its lines while the pointer is on the other side, where it looks for the pair.
  const hovered = pointed.value ?? linkedPlace(picture, model.trait("hover").value ?? null);
  const across = pinned !== null && hovered !== null && hovered.side !== pinned.side;
  const place = across ? pinned : (hovered ?? pinned);
  const chosenMate = pinned?.side === "query" && place === pinned ? (selection.key ?? null) : null;
  const mate = across ? hovered.index : chosenMate;

  const shown = picture.heads.map((head) => !off.value.includes(head));
  const chosen = model.trait("threshold").value ?? null;
  const threshold = Math.max(
    picture.floor,
    useMemo(
      () => chosen ?? usualThreshold(picture, shown, hideFirst),
      [chosen, picture, String(shown), hideFirst],
    ),
  );
  const lines = useMemo(
    () => chosenLines(picture, { place, shown, threshold, hideFirst }, asked),
    [picture, place?.side, place?.index, String(shown), threshold, hideFirst, asked],
  );
  const row = useMemo(
    () => (place === null ? null : rowOf(picture, place, asked)),
    [picture, place?.side, place?.index, asked],
  );
  const longest = Math.max(picture.tokens.query.length, picture.tokens.key.length);
  const height = Math.min(MOST_HEIGHT, longest * ROW);
  const heads = picture.heads.length;
  const seen = strokes(lines, { rowHeight: ROW, top: top.value, height, heads }, MOST_STROKES);
  const dark = model.dark.value;
  useLayoutEffect(() => {
    const numbers = valuesWidth(shown.filter(Boolean).length);
    const how = { place, numbers, dark, ratio: size.value.ratio };
    if (canvas.current !== null) drawLines(canvas.current, seen, how);
  });

  const select = (changes: Partial<Selection>): void => {
    const { layer = null, heads: known = null, query = null, key = null, stack = null, kind = "attn" } = selection;
    model.write({ selection: { layer: layer ?? picture.layer, heads: known ?? picture.heads, query, key, stack, kind, ...changes } });
  };
  const release = (): void => select({ query: null, key: null });
  const choose = ({ side, index }: Place): void => {
    const again = selection[side] === index;
    if (pinned === null || pinned.side === side) {
      if (again) release();
      else select({ query: null, key: null, [side]: index });
    } else select({ [side]: again ? null : index });
  };
  const point = (at: Place | null): void => {
    pointed.value = at;
    if (at === null || picture.prompt[at.side]) model.hover(at === null ? null : at.index);
  };
  const column = (side: Side): JSX.Element => (
    <TokenColumn
      {...{ picture, side, place, mate, row, shown, hideFirst, threshold }}
      pinned={pinned}
      chosen={selection[side] ?? null}
      top={top.value}
      height={height}
      onPoint={(index) => point(index === null ? null : { side, index })}
      onChoose={(index) => choose({ side, index })}
      onRelease={release}
      onShow={(index) => {
        const element = room.current;
        if (element === null) return;
        const at = index * ROW;
        if (at < element.scrollTop) element.scrollTop = at;
        else if (at + ROW > element.scrollTop + height) element.scrollTop = at + ROW - height;
      }}
    />
  );
  return (
    <>
      <div class="explorer-toolbar">
        <div class="explorer-lines-heads" role="group" aria-label={words.heads}>
          {picture.heads.map((head, index) => (
            <button
              key={head}
              type="button"
              class="explorer-button"
              aria-pressed={shown[index]}
              title={words.heads}
              onClick={() => {
                off.value = shown[index] ? [...off.value, head] : off.value.filter((one) => one !== head);
              }}
            >
              <LineKey place={index} dark={dark} /> {words.head(head)}
            </button>
          ))}
          {picture.chosen < picture.of && (
            <button
              type="button"
              class="explorer-button"
              onClick={() => select({ heads: Array.from({ length: picture.of }, (_, head) => head) })}
            >
              {words.allHeads(picture.of)}
            </button>
          )}
        </div>
        <label class="explorer-lines-threshold">
          {words.threshold}
          <input
            type="range"
            min={0}
            max={100}
            value={Math.round(placeOf(threshold) * 100)}
            aria-valuetext={words.atLeast(short(threshold))}
            onInput={(event) => {
              model.write({ threshold: thresholdAt(Number(event.currentTarget.value) / 100, picture.floor) });
            }}
          />
          <output>{short(threshold)}</output>
        </label>
      </div>
      <div class="explorer-lines-heading" aria-hidden="true">
        <span>{words.query}</span>
        <span>{seen.length < MOST_STROKES ? words.drawn(lines.weight.length) : words.strongestDrawn(MOST_STROKES, lines.weight.length)}</span>
        <span>{words.key}</span>
      </div>
      <div
        ref={room}
        class="explorer-lines-room"
        style={{ height: `${height}px` }}
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
      >
        <div class="explorer-lines-columns" style={{ height: `${longest * ROW}px` }}>
          {column("query")}
          <div class="explorer-lines-middle">
            <canvas ref={canvas} style={{ height: `${height}px` }} aria-hidden="true" />
          </div>
          {column("key")}
        </div>
      </div>
      <p class="explorer-lines-said" role="status">
        {place === null || row === null ? (
          lines.weight.length === 0 ? words.noLine : words.hint
        ) : (
          <Said {...{ picture, place, mate, lines }} weights={mate === null ? null : row.weights.map((one) => one[mate] ?? null)} />
        )}
      </p>
      <NumberTable
        summary={words.asTable(lines.weight.length)}
        caption={words.title}
        lead={[
          {
            head: words.query,
            cell: (at) => <Name picture={picture} side="query" index={lines.query[at] ?? 0} />,
            kind: "head",
          },
          { head: words.key, cell: (at) => <Name picture={picture} side="key" index={lines.key[at] ?? 0} />, kind: "words" },
        ]}
        columns={[
          { head: words.headHead, cell: (at) => picture.heads[lines.head[at] ?? 0] },
          { head: words.weightHead, cell: (at) => weightWords(lines.weight[at] ?? 0, picture, words) },
        ]}
        rows={lines.weight.length}
      />
    </>
  );
}

/** Where the position that is looked at in another panel stands here. */
function linkedPlace(picture: LinesPicture, hover: number | null): Place | null {
  if (hover === null) return null;
  const side: Side = picture.prompt.query ? "query" : "key";
  return picture.prompt[side] && hover < picture.tokens[side].length ? { side, index: hover } : null;
}

function Name({ picture, side, index }: { picture: LinesPicture; side: Side; index: number }): JSX.Element {
  const token = picture.tokens[side][index];
  return <bdi dir="auto">{token === undefined ? "" : tokenName(token)}</bdi>;
}

interface SaidProps {
  picture: LinesPicture;
  place: Place;
  mate: number | null;
  lines: Lines;
  /** Of the pair, head by head. */
  weights: (number | null)[] | null;
}

/** What a token attends to most, or how much exactly to the one that is looked at beside it. */
function Said({ picture, place, mate, lines, weights }: SaidProps): JSX.Element {
  const words = useWords(linesWords);
  const name = <Name picture={picture} side={place.side} index={place.index} />;
  const whose = (place.side === "query" ? words.attendsTo : words.attendedBy)(name);
  if (mate !== null && weights !== null) {
    return (
      <>
        {whose} <Name picture={picture} side={other(place.side)} index={mate} />
        {picture.heads.map((head, at) => (
          <strong key={head}>{words.of(head, weightWords(weights[at] ?? null, picture, words))}</strong>
        ))}
      </>
    );
  }
  const most = Array.from({ length: Math.min(SAID, lines.weight.length) }, (_, at) => at);
  return (
    <>
      {whose}
      {most.length === 0 && ` ${words.none}`}
      {most.map((at) => (
        <span key={at}>
          <Name picture={picture} side={other(place.side)} index={(place.side === "query" ? lines.key : lines.query)[at] ?? 0} />{" "}
          <strong>{words.of(picture.heads[lines.head[at] ?? 0] ?? 0, weightWords(lines.weight[at] ?? 0, picture, words))}</strong>
        </span>
      ))}
    </>
  );
}

export default mountPanel(LinesPanel);
