/** The weights of one row as a list: what the map's colours say, in numbers. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { spanName } from "./attention-layout";
import { type HeadMap, span, weightText } from "./attention-state";
import type { WireToken } from "./shared";

/** The keys of a row from the largest weight to the smallest; what is masked is left out. */
export function rankedKeys(map: HeadMap, row: number): { col: number; weight: number }[] {
  const { last } = span(map.rowStart, row, map.positions);
  const keys = Array.from(map.weights.subarray(row * map.cols, (row + 1) * map.cols), (weight, col) => ({
    col,
    weight,
  }));
  const seen = keys.filter(({ col }) => !map.causal || (map.colStart[col] ?? 0) <= last);
  // NaN compares with nothing; it goes to the end, where it is still read.
  const order = (weight: number): number => (Number.isNaN(weight) ? -1 : weight);
  return seen.sort((a, b) => order(b.weight) - order(a.weight) || a.col - b.col);
}

// More rows than anybody reads; the rest stays reachable in Python.
const LONGEST_TABLE = 256;

function keyName(map: HeadMap, tokens: readonly WireToken[], col: number): string {
  const { first, last } = span(map.colStart, col, map.positions);
  return spanName(tokens, first, last);
}

export interface WeightsProps {
  map: HeadMap;
  tokens: readonly WireToken[];
  row: number;
  /** The column that is under the pointer or chosen. */
  col: number | undefined;
  /** Whether the first token's column is hidden in the map; here it turns grey. */
  hideFirst: boolean;
  /** How many keys are listed with bars. */
  shown: number;
  /** Says which key the pointer is on. */
  onHover: (col: number | null) => void;
  onChoose: (col: number) => void;
}

/** The largest weights with bars, and all of them in a table that can be unfolded. */
export function AttentionWeights({
  map,
  tokens,
  row,
  col,
  hideFirst,
  shown,
  onHover,
  onChoose,
}: WeightsProps): JSX.Element {
  const unfolded = useSignal(false);
  const rows = span(map.rowStart, row, map.positions);
  const from = spanName(tokens, rows.first, rows.last);
  const ranked = rankedKeys(map, row);
  // The key in question is listed even where others weigh more.
  const listed = ranked.filter((key, place) => place < shown || key.col === col);
  return (
    <section
      class={`explorer-weights${map.block > 1 ? " has-blocks" : ""}`}
      aria-label={`Weights of ${from}`}
    >
      <h3>
        <bdi>{from}</bdi> attends to
      </h3>
      <ol onPointerLeave={() => onHover(null)}>
        {listed.map(({ col: key, weight }) => (
          <li
            key={key}
            class={`${key === col ? "is-active" : ""}${hideFirst && key === 0 ? " is-hidden" : ""}`}
            onPointerEnter={() => onHover(key)}
            onClick={() => onChoose(key)}
          >
            <bdi>{keyName(map, tokens, key)}</bdi>
            <i aria-hidden="true">
              <b style={{ width: `${Math.max(0, Math.min(1, weight || 0)) * 100}%` }} />
            </i>
            <span>{weightText(weight, map.exact)}</span>
          </li>
        ))}
      </ol>
      <details onToggle={(event) => (unfolded.value = event.currentTarget.open)}>
        <summary>
          {ranked.length > LONGEST_TABLE
            ? `the ${LONGEST_TABLE} largest of ${ranked.length} weights`
            : `as a table (${ranked.length})`}
        </summary>
        {unfolded.value && (
          <Table map={map} tokens={tokens} from={from} ranked={ranked.slice(0, LONGEST_TABLE)} />
        )}
      </details>
    </section>
  );
}

interface TableProps {
  map: HeadMap;
  tokens: readonly WireToken[];
  from: string;
  ranked: readonly { col: number; weight: number }[];
}

/** The same in words; only made while it is unfolded, as hovering a long prompt would make it anew for every row. */
function Table({ map, tokens, from, ranked }: TableProps): JSX.Element {
  return (
    <table>
      <caption class="explorer-hidden">
        Layer {map.layer}, head {map.head}: weights of {from}
      </caption>
      <thead>
        <tr>
          <th scope="col">position</th>
          <th scope="col">key</th>
          <th scope="col">weight</th>
        </tr>
      </thead>
      <tbody>
        {ranked.map(({ col: key, weight }) => (
          <tr key={key}>
            <td>{map.colStart[key]}</td>
            <th scope="row">
              <bdi>{keyName(map, tokens, key)}</bdi>
            </th>
            <td>{weightText(weight, map.exact)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
