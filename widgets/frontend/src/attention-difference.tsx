/** The chosen heads' weights now minus those of a reference, over the positions that stand for the same. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { type CellsView, cellAtPositions, readCells, signed, written } from "./attention-cells";
import { type Said, cellWords } from "./attention-map";
import { type Looked, Plane, useLook } from "./attention-plane";
import { AsSaved } from "./attention-saved";
import { type HeadMap, type Selection, type Sides, headsName, hiddenBy } from "./attention-state";
import { Choose, Zoom } from "./attention-toolbar";
import {
  type Cell,
  type CommonState,
  EchoRule,
  Legend,
  Panel,
  type View,
  type WireArray,
  type WireToken,
  type Words,
  attentionWords,
  decodeFloats,
  differenceWords,
  mountPanel,
  sharedWords,
  signedIndex,
  useModel,
  usePicture,
  useWords,
  wellFormed,
} from "./shared";

const REFERENCES = ["edits", "prompt", "pinned", "other"] as const;
type Reference = (typeof REFERENCES)[number];

interface State extends CommonState {
  selection: Partial<Selection>;
  reference: Reference;
  other_prompt: string;
  other_name: string;
}

/** Positions that stand for the same: runs of the reference's and of this prompt's, [first, after the last]. */
export interface Group {
  label: string;
  how: "same" | "respelt" | "replaced" | "only_before" | "only_now";
  before: [number, number];
  now: [number, number];
}

export interface DifferenceViewState extends View, Partial<Omit<CellsView, keyof View | "layer" | "heads">> {
  reference: Reference;
  layer: number;
  heads: number[];
  queries?: Group[];
  keys?: Group[];
  first?: WireArray;
  second?: WireArray;
}

export interface Compared {
  sides: Sides;
  all: HeadMap;
  queries: Group[];
  keys: Group[];
  /** What each cell's weight was in the reference, and is now; NaN in rows that a side does not have. */
  before: Float32Array;
  now: Float32Array;
  /** The largest difference of what both sides have, and where it is. */
  limit: number;
  most: Cell | null;
}

export interface DifferencePicture {
  tokens: WireToken[];
  reference: Reference;
  layer: number;
  heads: number[];
  /** `null` where there is nothing to compare with. */
  compared: Compared | null;
}

/** Which side alone has a cell's query or key; `null` where both have them. */
function onlySide(picture: Compared, { row, col }: Cell): "only_before" | "only_now" | null {
  if (picture.all.block > 1) return null;
  for (const { how } of [picture.queries[row], picture.keys[col]] as Group[]) {
    if (how === "only_before" || how === "only_now") return how;
  }
  return null;
}

/** A group as one token of an axis. */
function asToken({ label }: Group, group: number): WireToken {
  return { id: -1, text: label.replace(/ → +/, "→"), kind: "text", group, part: 1, parts: 1 };
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readDifference(view: DifferenceViewState): DifferencePicture {
  const { tokens, reference, layer, heads, queries, keys } = view;
  if (view.data === undefined || queries === undefined || keys === undefined) return { tokens, reference, layer, heads, compared: null };
  const all = readCells(view as CellsView);
  if (queries.length !== view.rows || keys.length !== view.columns) {
    throw new Error(`view.queries and keys hold ${queries.length} and ${keys.length} of ${view.rows} x ${view.columns}.`);
  }
  const sides = {
    queries: queries.length,
    keys: keys.length,
    queryTokens: queries.map(asToken),
    keyTokens: keys.map(asToken),
  };
  const before = decodeFloats(view.first as WireArray, "view.first", 2).values;
  const now = decodeFloats(view.second as WireArray, "view.second", 2).values;
  const compared: Compared = { sides, all, queries, keys, before, now, limit: 0, most: null };
  all.weights.forEach((value, at) => {
    const cell = { row: Math.floor(at / all.cols), col: at % all.cols };
    if (!(Math.abs(value) > compared.limit) || onlySide(compared, cell) !== null) return;
    compared.limit = Math.abs(value);
    compared.most = cell;
  });
  return { tokens, reference, layer, heads, compared };
}

function DifferenceView(): JSX.Element {
  const words = useWords(differenceWords);
  const attention = useWords(attentionWords);
  const { picture, fault } = usePicture<DifferenceViewState, DifferencePicture>(readDifference as never).value;
  const compared = picture?.compared ?? null;
  const looked = useLook(compared?.sides.queries ?? 0, compared?.sides.keys ?? 0);
  const limit = compared === null ? "" : written(compared.limit, "");
  return (
    <Panel
      name="difference"
      title={words.title}
      subtitle={picture === null ? "" : headsName(attention, picture)}
      tokens={picture?.tokens ?? []}
      ready={picture !== null || fault !== null}
      fault={fault}
      keys={words.keys}
      legend={compared !== null && <Legend table="signed" low={words.less(limit)} high={words.more(limit)} />}
      aside={compared === null || picture === null ? "" : <Aside picture={picture} compared={compared} />}
    >
      {/* Always in this place: whoever types the other prompt keeps the field. */}
      <div class="explorer-toolbar">
        <Against />
        {compared !== null && <Zoom {...looked} />}
      </div>
      <AsSaved />
      {picture !== null && compared !== null && <Difference {...{ picture, compared, looked }} />}
      {picture !== null && compared === null && (
        <p class="explorer-note" role="status">
          {words.missing[picture.reference]}
        </p>
      )}
    </Panel>
  );
}

interface DifferenceProps {
  picture: DifferencePicture;
  compared: Compared;
  looked: Looked;
}

function Difference({ picture, compared, looked }: DifferenceProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(differenceWords);
  const attention = useWords(attentionWords);
  const { sides, all, queries, keys } = compared;
  const [before = "", now = ""] = words.sides[picture.reference] ?? [];
  const selection = model.trait("selection").value ?? {};
  const entries = useMemo(() => Uint8Array.from(all.weights, (value) => signedIndex(value, compared.limit)), [compared]);
  const { says, empty } = useMemo(
    () => ({
      says: (cell: Cell) => saidOf(compared, picture.reference, cell, words, attention),
      empty: (cell: Cell) => onlySide(compared, cell) !== null || Number.isNaN(all.weights[cell.row * all.cols + cell.col]),
    }),
    [compared, words, attention],
  );
  const groupOf = (groups: Group[], position: number | null | undefined): number | null => {
    const at = groups.findIndex((group) => position != null && group.now[0] <= position && position < group.now[1]);
    return at < 0 ? null : at;
  };
  const positionOf = (group: Group | undefined): number | null =>
    group === undefined || group.now[0] === group.now[1] ? null : group.now[0];
  const choose = ({ row, col }: Partial<Cell>): void => {
    const query = row === undefined ? null : positionOf(queries[all.rowStart[row] ?? -1]);
    const key = col === undefined ? null : positionOf(keys[all.colStart[col] ?? -1]);
    const chosen = model.trait("selection").peek() ?? {};
    model.write({ selection: { layer: null, heads: null, stack: null, kind: "attn", ...chosen, query, key } });
  };
  return (
    <Plane
      {...{ sides, all, entries, says, empty, looked }}
      table="signed"
      label={words.map(headsName(attention, picture), before, now)}
      chosen={cellAtPositions(all, groupOf(queries, selection.query), groupOf(keys, selection.key))}
      onChoose={choose}
    />
  );
}

/** What a cell says: the difference and both sides, or the one side that has it. */
function saidOf(
  compared: Compared,
  reference: Reference,
  cell: Cell,
  words: Words<typeof differenceWords>,
  attention: Words<typeof attentionWords>,
): Said {
  const { all, sides } = compared;
  const said = cellWords(all, sides, cell, attention);
  if (hiddenBy(all, cell.row, cell.col) !== null) return said;
  const at = cell.row * all.cols + cell.col;
  const names = words.sides[reference] ?? ["", ""];
  const [before, now] = [compared.before, compared.now].map((side) => written(side[at] ?? NaN, attention.notANumber));
  const only = onlySide(compared, cell);
  if (only === "only_before") return { ...said, weight: words.onlyIn(names[0], before as string) };
  if (only === "only_now") return { ...said, weight: words.onlyIn(names[1], now as string) };
  const change = signed(all.weights[at] ?? NaN, attention.notANumber);
  const weight = words.says(change, names[0], before as string, names[1], now as string);
  return { ...said, weight: all.block === 1 ? weight : attention.largestInBlock(weight, all.block, all.block) };
}

/** What is compared with, and the other prompt where it is one. */
function Against(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(differenceWords);
  const live = model.connected.value;
  const reference = model.trait("reference").value ?? "edits";
  const name = model.trait("other_name").value ?? "";
  const named = (one: Reference): string => (one === "other" && name !== "" ? name : words.references[one]);
  const there = REFERENCES.filter((one) => one !== "other" || name !== "" || reference === "other");
  return (
    <>
      <Choose
        label={words.reference}
        value={reference}
        disabled={!live}
        onChoose={(value) => model.write({ reference: value as Reference })}
        options={there.map((one) => [one, named(one)])}
      />
      {reference === "prompt" && <OtherPrompt disabled={!live} />}
    </>
  );
}

function OtherPrompt({ disabled }: { disabled: boolean }): JSX.Element {
  const model = useModel<State>();
  const words = useWords(differenceWords);
  const rule = useRef(new EchoRule());
  const field = useRef<HTMLInputElement>(null);
  const focused = useRef(false);
  const text = model.trait("other_prompt");
  const show = (arrived: string): void => {
    if (field.current === null || !rule.current.accepts(arrived, focused.current)) return;
    field.current.value = arrived;
  };
  useEffect(() => text.subscribe((arrived) => show(String(arrived ?? ""))), [text]);
  return (
    <input
      ref={field}
      class="explorer-other"
      type="text"
      dir="auto"
      lang=""
      spellcheck={false}
      autocomplete="off"
      aria-label={words.otherPrompt}
      placeholder={words.typeOther}
      disabled={disabled}
      onFocus={(event) => {
        focused.current = true;
        rule.current.enter(wellFormed(event.currentTarget.value));
      }}
      onBlur={() => {
        focused.current = false;
        show(String(text.peek() ?? ""));
      }}
      onInput={(event) => {
        const typed = wellFormed(event.currentTarget.value);
        rule.current.send(typed);
        model.write({ other_prompt: typed });
      }}
    />
  );
}

const NAMED = 4;

/** What does not align, what is paired though it differs, and where most differs. */
function Aside({ picture, compared }: { picture: DifferencePicture; compared: Compared }): JSX.Element {
  const words = useWords(differenceWords);
  const attention = useWords(attentionWords);
  const { all, limit, most, sides } = compared;
  const { listed: listing } = useWords(sharedWords);
  const names = words.sides[picture.reference] ?? ["", ""];
  const groups = [...new Map([...compared.queries, ...compared.keys].map((one) => [`${one.before}/${one.now}`, one])).values()];
  const listed = (how: Group["how"]): string | null => {
    const found = groups.filter((one) => one.how === how).map((one) => words.quoted(one.label));
    if (found.length === 0) return null;
    const some = listing(found.slice(0, NAMED));
    return found.length > NAMED ? words.andMore(some, found.length - NAMED) : some;
  };
  const said: string[] = [];
  if (most === null) said.push(words.same);
  else {
    const change = signed(all.weights[most.row * all.cols + most.col] ?? 0, attention.notANumber);
    said.push(words.largest(change, cellWords(all, sides, most, attention).pair));
  }
  const [before, now, replaced] = [listed("only_before"), listed("only_now"), listed("replaced")];
  if (before !== null) said.push(words.unaligned(names[0], before));
  if (now !== null) said.push(words.unaligned(names[1], now));
  if (replaced !== null) said.push(words.replaced(replaced));
  if (all.block > 1 && limit > 0) said.push(attention.blocks(all.block));
  said.push(words.meaning);
  return <bdi>{said.join(" · ")}</bdi>;
}

export default mountPanel(DifferenceView);
