// The likeliest next tokens as bars: what can be drawn, then what each filter cut, in grey.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useRef } from "preact/hooks";
import type { Distribution, Settings } from "./sampling-math";
import type { Label, SamplingPicture } from "./sampling-picture";
import { layRows, type Row } from "./sampling-rows";
import { nameCut, type SamplingWords } from "./sampling-settings";
import { formatProbability, formatShare } from "./sampling-words";
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
}

// Among thousands of equal scores one can rank that nobody named: its number is at least true.
export function labelOf(labels: ChartProps["labels"], id: number, words: SamplingWords): Label {
  return labels.get(id) ?? { text: words.unnamed(id), kind: "special" };
}

/** The bars, and the axis that says how long they are. */
export function Chart({ distribution, settings, labels }: ChartProps): JSX.Element {
  const words = useWords(samplingWords);
  const common = useWords(sharedWords);
  const tooltip = useTooltip();
  const list = useRef<HTMLOListElement>(null);
  const entry = useSignal(0);
  const rows = layRows(distribution, (id) => labels.has(id));
  const ranks = rows.flatMap((row) => (row.kind === "token" ? [row.rank] : []));
  const reachable = ranks.includes(entry.value) ? entry.value : ranks[0];

  const rowOf = (event: Event): { element: HTMLElement; row: TokenRowData } | null => {
    const element = (event.target as Element | null)?.closest?.<HTMLElement>("[data-rank]");
    const row = rows.find((r) => r.kind === "token" && String(r.rank) === element?.dataset["rank"]);
    return element && row?.kind === "token" ? { element, row } : null;
  };
  const tip = (row: TokenRowData): JSX.Element => <RowTip row={row} {...{ distribution, settings, labels }} />;
  const walk = (event: KeyboardEvent): void => {
    const here = ranks.indexOf(reachable ?? -1);
    const steps: Record<string, number> = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: ranks.length - 1 };
    const to = steps[event.key];
    if (to === undefined) return;
    const rank = ranks[Math.max(0, Math.min(ranks.length - 1, to))];
    list.current?.querySelector<HTMLElement>(`[data-rank="${rank}"]`)?.focus();
    event.preventDefault();
  };

  return (
    <div class="explorer-sampling-chart">
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
        {rows.map((row) =>
          row.kind === "token" ? (
            <TokenRow key={row.id} row={row} label={labelOf(labels, row.id, words)} reachable={row.rank === reachable} />
          ) : (
            <li key={row.kind === "cut" ? row.filter : row.kind} class={`explorer-sampling-line is-${row.kind}`}>
              {lineOf(row, settings, words, common)}
            </li>
          ),
        )}
      </ol>
      <div class="explorer-sampling-axis" role="img" aria-label={words.barLength}>
        {TICKS.map((tick) => (
          <span key={tick} style={{ left: barLength(tick) }}>
            {tick}
          </span>
        ))}
      </div>
    </div>
  );
}

type TokenRowData = Extract<Row, { kind: "token" }>;

function TokenRow({ row, label, reachable }: { row: TokenRowData; label: Label; reachable: boolean }): JSX.Element {
  const words = useWords(samplingWords);
  const { listed } = useWords(sharedWords);
  const number = formatProbability(row.probability);
  return (
    <li
      class={`explorer-sampling-bar ${row.kept ? "is-kept" : "is-cut"}`}
      data-rank={row.rank}
      tabIndex={reachable ? 0 : -1}
      aria-label={listed([tokenName(label), words.probability(number), row.kept ? "" : words.cut])}
    >
      <span class="explorer-sampling-label">
        <bdi class={`explorer-text is-${/\s$/.test(label.text) ? "blank" : label.kind}`} dir="auto">
          {visible(label.text)}
        </bdi>
      </span>
      <span class="explorer-sampling-track">
        <span style={{ width: barLength(row.probability) }} />
      </span>
      <span class="explorer-sampling-value">{number}</span>
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

function RowTip({ row, distribution, settings, labels }: ChartProps & { row: TokenRowData }): JSX.Element {
  const words = useWords(samplingWords);
  const { id } = useWords(sharedWords);
  const cut = distribution.cuts.find((c) => row.rank >= c.from && row.rank < c.to);
  return (
    <>
      <div>
        <bdi>{tokenName(labelOf(labels, row.id, words))}</bdi> <b>{row.probability.toPrecision(4)}</b>
      </div>
      <div class="explorer-sampling-muted">
        {cut === undefined ? "" : `${words.beforeCut(nameCut(cut.filter, settings, words))} · `}
        {words.rank(row.rank + 1)} · {id(row.id)}
      </div>
    </>
  );
}
