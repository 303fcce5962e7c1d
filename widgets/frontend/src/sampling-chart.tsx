// The likeliest next tokens as bars: what can be drawn, then what each filter cut, in grey.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Distribution, Settings } from "./sampling-math";
import type { Label, SamplingPicture } from "./sampling-picture";
import { layPinned, layRows, type Row, type TokenRow as TokenRowData } from "./sampling-rows";
import { nameCut, type SamplingWords } from "./sampling-settings";
import { formatChange, formatProbability, formatShare } from "./sampling-words";
import { samplingWords, sharedWords, tokenName, useTooltip, useWords, visible, type Words } from "./shared";

/** Bars grow with the square root: one in a hundred is still a tenth of the width. */
export function barLength(probability: number): string {
  return `${(100 * Math.sqrt(Math.min(1, Math.max(0, probability)))).toFixed(2)}%`;
}

const TICKS = [0, 0.01, 0.1, 0.5, 1];

export interface ChartProps {
  distribution: Distribution;
  settings: Settings;
  labels: SamplingPicture["labels"];
  /** What was pinned, under the same settings. */
  pinned: Distribution | null;
}

// Among thousands of equal scores one can rank that nobody named: its number is at least true.
export function labelOf(labels: ChartProps["labels"], id: number, words: SamplingWords): Label {
  return labels.get(id) ?? { text: words.unnamed(id), kind: "special" };
}

/** The bars, and the axis that says how long they are. */
export function Chart({ distribution, settings, labels, pinned }: ChartProps): JSX.Element {
  const words = useWords(samplingWords);
  const common = useWords(sharedWords);
  const tooltip = useTooltip();
  const list = useRef<HTMLOListElement>(null);
  const entry = useSignal(0);
  const live = layRows(distribution, (id) => labels.has(id));
  const gone = pinned === null ? [] : layPinned(live, distribution, pinned);
  const rows = [...live, ...gone];
  const ranks = rows.flatMap((row) => (row.kind === "token" ? [row.rank] : []));
  const reachable = ranks.includes(entry.value) ? entry.value : ranks[0];

  const rowOf = (event: Event): { element: HTMLElement; row: TokenRowData } | null => {
    const element = (event.target as Element | null)?.closest?.<HTMLElement>("[data-rank]");
    const row = rows.find((r) => r.kind === "token" && String(r.rank) === element?.dataset["rank"]);
    return element && row?.kind === "token" ? { element, row } : null;
  };
  const tip = (row: TokenRowData): JSX.Element => <RowTip row={row} {...{ distribution, settings, labels, pinned }} />;
  const walk = (event: KeyboardEvent): void => {
    const here = ranks.indexOf(reachable ?? -1);
    const steps: Record<string, number> = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: ranks.length - 1 };
    const to = steps[event.key];
    if (to === undefined) return;
    const rank = ranks[Math.max(0, Math.min(ranks.length - 1, to))];
    list.current?.querySelector<HTMLElement>(`[data-rank="${rank}"]`)?.focus();
    event.preventDefault();
  };

  const token = (row: TokenRowData): JSX.Element => (
    <TokenRow
      key={row.id}
      row={row}
      label={labelOf(labels, row.id, words)}
      reachable={row.rank === reachable}
      before={pinned?.chance(row.id) ?? null}
    />
  );

  return (
    <div class={`explorer-sampling-chart ${pinned === null ? "" : "is-compared"}`}>
      <ol
        ref={list}
        aria-label={words.likeliest}
        onPointerMove={(event) => {
          const over = rowOf(event);
          if (over) tooltip.show(event, tip(over.row));
          else tooltip.hide();
        }}
        onPointerLeave={() => tooltip.hide()}
        onFocusIn={(event) => {
          const over = rowOf(event);
          if (over === null) return;
          entry.value = over.row.rank;
          tooltip.showAt(over.element.querySelector(".explorer-sampling-label") ?? over.element, tip(over.row));
        }}
        onFocusOut={() => tooltip.hide()}
        onKeyDown={walk}
      >
        {live.map((row) =>
          row.kind === "token" ? (
            token(row)
          ) : (
            <li key={row.kind === "cut" ? row.filter : row.kind} class={`explorer-sampling-line is-${row.kind}`}>
              {lineOf(row, settings, words, common)}
            </li>
          ),
        )}
        {gone.length > 0 && <li class="explorer-sampling-line is-gone">{words.pinnedBelow}</li>}
        {gone.map(token)}
      </ol>
      <div class="explorer-sampling-axis" role="img" aria-label={words.barLength}>
        {TICKS.map((tick) => (
          <span key={tick} style={{ left: barLength(tick) }}>
            {tick}
          </span>
        ))}
      </div>
      {pinned !== null && <p class="explorer-sampling-key">{words.pinnedKey}</p>}
    </div>
  );
}

/** What a token is drawn with now, beside what it was drawn with in what is pinned. */
function changeOf(row: TokenRowData, before: number): number {
  return (row.kept ? row.probability : 0) - before;
}

/** "up by 0.21", and what it was. */
function inWords(row: TokenRowData, before: number, words: SamplingWords): string[] {
  const change = changeOf(row, before);
  const size = formatProbability(Math.abs(change));
  const how = change === 0 ? words.unchanged : change > 0 ? words.up(size) : words.down(size);
  return [words.pinnedWas(formatProbability(before)), how];
}

interface TokenRowProps {
  row: TokenRowData;
  label: Label;
  reachable: boolean;
  /** What it was drawn with in what is pinned; `null` where nothing is. */
  before: number | null;
}

function TokenRow({ row, label, reachable, before }: TokenRowProps): JSX.Element {
  const words = useWords(samplingWords);
  const { listed } = useWords(sharedWords);
  const number = formatProbability(row.probability);
  const change = before === null ? 0 : changeOf(row, before);
  return (
    <li
      class={`explorer-sampling-bar ${row.kept ? "is-kept" : "is-cut"}`}
      data-rank={row.rank}
      tabIndex={reachable ? 0 : -1}
      aria-label={listed([tokenName(label), words.probability(number), row.kept ? "" : words.cut, ...(before === null ? [] : inWords(row, before, words))])}
    >
      <span class="explorer-sampling-label">
        <bdi class={`explorer-text is-${/\s$/.test(label.text) ? "blank" : label.kind}`} dir="auto">
          {visible(label.text)}
        </bdi>
      </span>
      <span class="explorer-sampling-track">
        <span style={{ width: barLength(row.probability) }} />
        {before !== null && <i class="explorer-sampling-ghost" style={{ width: barLength(before) }} />}
      </span>
      <span class="explorer-sampling-value">{number}</span>
      {before !== null && (
        <span class={`explorer-sampling-change ${change > 0 ? "is-up" : change < 0 ? "is-down" : ""}`}>
          {formatChange(change)}
        </span>
      )}
    </li>
  );
}

function lineOf(
  row: Exclude<Row, { kind: "token" }>,
  settings: Settings,
  words: SamplingWords,
  common: Words<typeof sharedWords>,
): string {
  if (row.kind === "impossible") return words.ruledOut(row.count);
  const share = formatShare(row.mass, common);
  if (row.kind === "more") return words.more(row.count, share);
  return words.cutBy(nameCut(row.filter, settings, words), share, row.count);
}

function RowTip({ row, distribution, settings, labels, pinned }: ChartProps & { row: TokenRowData }): JSX.Element {
  const words = useWords(samplingWords);
  const { id } = useWords(sharedWords);
  const cut = distribution.cuts.find((c) => row.rank >= c.from && row.rank < c.to);
  return (
    <>
      <div>
        <bdi>{tokenName(labelOf(labels, row.id, words))}</bdi> <b>{row.probability.toPrecision(4)}</b>
      </div>
      {pinned !== null && <div>{inWords(row, pinned.chance(row.id), words).join(" · ")}</div>}
      <div class="explorer-sampling-muted">
        {cut === undefined ? "" : `${words.beforeCut(nameCut(cut.filter, settings, words))} · `}
        {words.rank(row.rank + 1)} · {id(row.id)}
      </div>
    </>
  );
}
