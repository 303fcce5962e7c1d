/** The text itself, coloured by what one token attends to or is attended to by: the view for long texts. */

import { useSignal } from "@preact/signals";
import type { CSSProperties, JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { type Coloring, entryOf, weightText } from "./attention-colors";
import { Kept, type Questions } from "./attention-questions";
import type { Picture, Rows, Selection, State } from "./attention-state";
import type { Asked } from "./attention-tiles";
import {
  type Swatch,
  TokenStrip,
  type WireToken,
  attentionWords,
  cssColor,
  swatch,
  tableOf,
  tokenName,
  useModel,
  useWords,
} from "./shared";

export interface TextProps {
  picture: Picture;
  asked: Asked;
  rows: Rows | null;
  questions: Questions;
  coloring: Coloring;
  hideSink: boolean;
  selection: Partial<Selection>;
  onSelect: (changes: Partial<Selection>) => void;
}

const MOST_BYTES = 8 * 1024 * 1024;

/** The tokens that `wanted` runs through, wherever it begins; upper and lower case are one. */
export function findTokens(tokens: readonly WireToken[], wanted: string): number[][] {
  const needle = wanted.toLowerCase();
  if (needle === "") return [];
  let text = "";
  // Pieces of one character carry its text once each; it is read once.
  const starts = tokens.map((token) => {
    const start = text.length;
    if (token.part === 1) text += token.text.toLowerCase();
    return start;
  });
  const found: number[][] = [];
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, at + needle.length)) {
    const end = at + needle.length;
    found.push(starts.flatMap((start, index) => (start < end && (starts[index + 1] ?? text.length) > at ? [index] : [])));
  }
  return found;
}

/** Several heads' weights as one. */
export function joined(weights: Float32Array, heads: number, largest: boolean): Float32Array {
  const size = weights.length / heads;
  return Float32Array.from({ length: size }, (_, at) => {
    let sum = 0;
    for (let head = 0; head < heads; head++) {
      const weight = weights[head * size + at] as number;
      sum = largest ? Math.max(sum, weight) : sum + weight / heads;
    }
    return sum;
  });
}

/** The tokens with their colours. A click asks about a token, "/" finds one. */
export function AttentionText(props: TextProps): JSX.Element {
  const { picture, asked, rows, questions, coloring, hideSink, selection } = props;
  const model = useModel<State>();
  const words = useWords(attentionWords);
  const [kept, arrived] = [useMemo(() => new Kept(MOST_BYTES), [questions]), useSignal(0)];
  const stacked = useSignal(false);
  const wanted = useSignal("");
  const turn = useSignal(0);
  const field = useRef<HTMLInputElement>(null);
  const room = useRef<HTMLDivElement>(null);
  const attends = model.trait("direction").value !== "attended";
  const tokens = attends ? picture.keyTokens : picture.queryTokens;
  const others = attends ? picture.queryTokens : picture.keyTokens;
  const chosen = (attends ? selection.query : selection.key) ?? selection.query ?? others.length - 1;
  const position = Math.max(0, Math.min(others.length - 1, chosen));
  const every = Array.from({ length: picture.headsPerLayer[asked.layer] ?? 0 }, (_, head) => head);
  const heads = stacked.value ? every : asked.heads;
  const ask = attends ? "row" : "column";
  const name = `${asked.picture}/${asked.layer}/${heads}/${ask}/${position}`;
  const weights = arrived.value >= 0 ? kept.get(name) : undefined;
  useLayoutEffect(() => {
    if (weights !== undefined) return;
    questions.ask(ask, { picture: asked.picture, layer: asked.layer, heads, position }, ({ arrays }) => {
      const values = arrays["weights"]?.values;
      if (values instanceof Float32Array) kept.set(name, values);
      arrived.value += 1;
    });
  }, [name]);
  const together = useMemo(
    () => (weights === undefined ? null : joined(weights, heads.length, asked.combine === "max")),
    [weights, asked.combine],
  );
  const first = (index: number): boolean => hideSink && (attends ? index === 0 : position === 0);
  const seen = (index: number): boolean => {
    const [query, key] = attends ? [position, index] : [index, position];
    return rows === null || (key >= (rows.seen[query * 2] ?? 0) && key < (rows.seen[query * 2 + 1] ?? 0));
  };
  const own = (together ?? new Float32Array(0)).reduce((most, weight, index) => (first(index) ? most : Math.max(most, weight || 0)), 0);
  const top = coloring.reach === "row" ? own : coloring.limit;
  const table = tableOf("weight", model.dark.value);
  void model.theme.revision.value; // another surface asks for other inks
  const surface = model.theme.surface();
  const colorOf = (index: number): Swatch | null => {
    if (together === null || weights === undefined || first(index) || !seen(index)) return null;
    if (!stacked.value) return swatch(table, entryOf(together[index] ?? 0, top, coloring.scale), surface);
    const stripes = heads.map((_, head) => {
      const color = cssColor(table, entryOf(weights[head * together.length + index] ?? 0, top, coloring.scale));
      return `${color} ${(head / heads.length) * 100}% ${((head + 1) / heads.length) * 100}%`;
    });
    const layers = `linear-gradient(${stripes}) bottom / 100% var(--x-stripes) no-repeat`;
    return { background: layers, ink: null };
  };
  const found = useMemo(() => findTokens(tokens, wanted.value), [tokens, wanted.value]);
  const current = found[turn.value % Math.max(1, found.length)] ?? [];
  useLayoutEffect(() => {
    const place = room.current?.querySelector(`[data-index="${current[0]}"]`);
    place?.scrollIntoView({ block: "nearest" });
  }, [current]);
  const said = (index: number): string => {
    if (!seen(index)) return words.notSeen;
    return weightText(together?.[index] ?? NaN, true, together === null ? "…" : words.notANumber);
  };
  const same = tokens === others;
  const on = others[position];
  return (
    <section
      class="explorer-text-view"
      onKeyDown={(event) => {
        if (event.key !== "/" || event.target === field.current) return;
        event.preventDefault();
        field.current?.focus();
      }}
    >
      <div class="explorer-toolbar">
        <span>
          {(attends ? words.attendsTo : words.attendedBy)(<bdi>{on === undefined ? "" : tokenName(on)}</bdi>)}
        </span>
        <button
          type="button"
          class="explorer-button"
          aria-pressed={stacked.value}
          onClick={() => (stacked.value = !stacked.value)}
        >
          {words.stacked(every.length)}
        </button>
        <span class="explorer-zoom">
          <input
            ref={field}
            type="search"
            class="explorer-find"
            placeholder={words.find}
            aria-label={words.find}
            value={wanted.value}
            onInput={(event) => {
              wanted.value = event.currentTarget.value;
              turn.value = 0;
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter") turn.value += event.shiftKey ? found.length - 1 : 1;
            }}
          />
          <span role="status">
            {wanted.value !== "" &&
              (found.length > 0 ? `${(turn.value % found.length) + 1} / ${found.length}` : words.notFound)}
          </span>
        </span>
      </div>
      <div
        ref={room}
        class={`explorer-text-room${stacked.value ? " is-stacked" : ""}${together === null ? " is-waiting" : ""}`}
        style={{ "--x-stripes": `${heads.length * (heads.length > 16 ? 2 : 3)}px` } as CSSProperties}
      >
        <TokenStrip
          tokens={tokens}
          label={words.modes.text}
          linked={tokens === picture.tokens}
          whole
          colorOf={colorOf}
          active={same ? position : null}
          selected={current}
          describe={said}
          tip={(index) => (
            <>
              <bdi>{tokens[index] === undefined ? "" : tokenName(tokens[index])}</bdi>
              <b class="explorer-value">{said(index)}</b>
            </>
          )}
          onClick={(index) => {
            if (same) props.onSelect(attends ? { query: index, key: null } : { query: null, key: index });
          }}
          onRelease={() => props.onSelect({ query: null, key: null })}
        />
      </div>
    </section>
  );
}
