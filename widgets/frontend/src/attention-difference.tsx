/** The chosen heads' weights now minus those of a reference, over the positions that stand for the same. */

import type { JSX } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { type CellsView, type Mapped, readCells, signed, written } from "./attention-cells";
import { spanName } from "./attention-layout";
import { type Said, cellWords } from "./attention-map";
import { type Looked, type Places, Plane, Together, useLook } from "./attention-plane";
import { AsSaved } from "./attention-saved";
import { type Combine, type HeadMap, type Selection, colSpan, headsName, hiddenBy, rowSpan } from "./attention-state";
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
  differenceWords,
  mountPanel,
  planeWords,
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

export interface DifferenceViewState extends View, Partial<Omit<CellsView, keyof View | "layer" | "heads" | "combine">> {
  reference: Reference;
  layer: number;
  heads: number[];
  combine: Combine;
  queries?: Group[];
  keys?: Group[];
  first?: WireArray;
  second?: WireArray;
  most?: Most | null;
}

/** The largest difference of what both sides have, and between which groups it is. */
interface Most {
  query: number;
  key: number;
  change: number;
}

/** A map whose cells have three numbers: the difference, what the weight was in the reference, and what it is now. */
export interface Compared extends Mapped {
  queries: Group[];
  keys: Group[];
  most: Most | null;
  limit: number;
}

export interface DifferencePicture {
  tokens: WireToken[];
  reference: Reference;
  layer: number;
  heads: number[];
  combine: Combine;
  /** `null` where there is nothing to compare with. */
  compared: Compared | null;
}

/** Which side alone has a cell's query or key; `null` where both have them, or a cell holds several. */
function onlySide(picture: Compared, map: HeadMap, { row, col }: Cell): "only_before" | "only_now" | null {
  if (map.block > 1) return null;
  for (const { how } of [picture.queries[map.rowStart[row] ?? 0], picture.keys[map.colStart[col] ?? 0]] as Group[]) {
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
  const { request, tokens, reference, layer, heads, combine, queries, keys, most = null } = view;
  const facts = { tokens, reference, layer, heads, combine };
  if (view.data === undefined || queries === undefined || keys === undefined) return { ...facts, compared: null };
  const beside = { first: view.first as WireArray, second: view.second as WireArray };
  const cells = readCells(view as CellsView, beside);
  if (queries.length !== view.rows || keys.length !== view.columns) {
    throw new Error(`view.queries and keys hold ${queries.length} and ${keys.length} of ${view.rows} x ${view.columns}.`);
  }
  const sides = {
    queries: queries.length,
    keys: keys.length,
    queryTokens: queries.map(asToken),
    keyTokens: keys.map(asToken),
  };
  return { ...facts, compared: { request, sides, ...cells, queries, keys, most, limit: Math.abs(most?.change ?? 0) } };
}

function DifferenceView(): JSX.Element {
  const words = useWords(differenceWords);
  const attention = useWords(attentionWords);
  const { picture, fault } = usePicture<DifferenceViewState, DifferencePicture>(readDifference as never).value;
  const compared = picture?.compared ?? null;
  const looked = useLook(compared);
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
      aside={compared === null || picture === null ? "" : <Aside {...{ picture, compared, looked }} />}
    >
      {/* Always in this place: whoever types the other prompt keeps the field. */}
      <div class="explorer-toolbar">
        <Against />
        {(picture?.heads.length ?? 1) > 1 && <Together />}
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
  const { queries, keys } = compared;
  const map = looked.map ?? compared.all;
  const [before = "", now = ""] = words.sides[picture.reference] ?? [];
  const selection = model.trait("selection").value ?? {};
  const entries = useMemo(
    () => Uint8Array.from({ length: map.rows * map.cols }, (_, at) => signedIndex(map.weights[at] as number, compared.limit)),
    [map, compared],
  );
  const { says, empty } = useMemo(
    () => ({
      says: (map: HeadMap, cell: Cell) => saidOf(compared, map, picture.reference, cell, words, attention),
      empty: (map: HeadMap, cell: Cell) => Number.isNaN(map.weights[cell.row * map.cols + cell.col]),
    }),
    [compared, words, attention],
  );
  const groupOf = (groups: Group[], position: number | null | undefined): number | null => {
    const at = groups.findIndex((group) => position != null && group.now[0] <= position && position < group.now[1]);
    return at < 0 ? null : at;
  };
  const positionOf = (group: Group | undefined): number | null =>
    group === undefined || group.now[0] === group.now[1] ? null : group.now[0];
  const choose = ({ query, key }: Places): void => {
    const chosen = model.trait("selection").peek() ?? {};
    const places = { query: positionOf(queries[query ?? -1]), key: positionOf(keys[key ?? -1]) };
    model.write({ selection: { layer: null, heads: null, stack: null, kind: "attn", ...chosen, ...places } });
  };
  return (
    <Plane
      {...{ of: compared, looked, entries, says, empty }}
      table="signed"
      label={words.map(headsName(attention, picture), before, now)}
      chosen={{ query: groupOf(queries, selection.query), key: groupOf(keys, selection.key) }}
      onChoose={choose}
    />
  );
}

/** What a cell says: the difference and both sides, or the one side that has it. */
function saidOf(
  compared: Compared,
  map: HeadMap,
  reference: Reference,
  cell: Cell,
  words: Words<typeof differenceWords>,
  attention: Words<typeof attentionWords>,
): Said {
  const said = cellWords(map, compared.sides, cell, attention);
  if (hiddenBy(map, cell.row, cell.col) !== null) return said;
  const size = map.rows * map.cols;
  const at = cell.row * map.cols + cell.col;
  const number = (plane: number): number => map.weights[plane * size + at] ?? NaN;
  const names = words.sides[reference] ?? ["", ""];
  const [before, now] = [1, 2].map((plane) => written(number(plane), attention.notANumber)) as [string, string];
  const only = onlySide(compared, map, cell);
  if (only === "only_before") return { ...said, weight: words.onlyIn(names[0], before) };
  if (only === "only_now") return { ...said, weight: words.onlyIn(names[1], now) };
  if (map.block > 1 && Number.isNaN(number(0))) return { ...said, weight: words.apart };
  const weight = words.says(signed(number(0), attention.notANumber), names[0], before, names[1], now);
  if (map.block === 1) return { ...said, weight };
  const [rows, cols] = [rowSpan(map, cell.row), colSpan(map, cell.col)];
  return { ...said, weight: words.inBlock(weight, rows.last - rows.first + 1, cols.last - cols.first + 1) };
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
      class="explorer-field explorer-other"
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

interface AsideProps {
  picture: DifferencePicture;
  compared: Compared;
  looked: Looked;
}

/** What does not align, what is paired though it differs, and where most differs. */
function Aside({ picture, compared, looked }: AsideProps): JSX.Element {
  const words = useWords(differenceWords);
  const attention = useWords(attentionWords);
  const plane = useWords(planeWords);
  const { most, sides } = compared;
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
  if (most === null) said.push(words.nothing);
  else if (most.change === 0) said.push(words.same);
  else {
    const { query, key } = most;
    const pair = `${spanName(sides.queryTokens, query, query)} → ${spanName(sides.keyTokens, key, key)}`;
    said.push(words.largest(signed(most.change, attention.notANumber), pair));
  }
  if (looked.late !== null) said.push(plane.late[looked.late]);
  const block = looked.map?.block ?? 1;
  if (block > 1 && compared.limit > 0) said.push(words.blocks(block));
  const [before, now, replaced] = [listed("only_before"), listed("only_now"), listed("replaced")];
  if (before !== null) said.push(words.unaligned(names[0], before));
  if (now !== null) said.push(words.unaligned(names[1], now));
  if (replaced !== null) said.push(words.replaced(replaced));
  said.push(words.meaning);
  return <bdi>{said.join(" · ")}</bdi>;
}

export default mountPanel(DifferenceView);
