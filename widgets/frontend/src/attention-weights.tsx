/** The weights of one row as a list: what the map's colours say, in numbers. */

import type { JSX } from "preact";
import { isFirstToken, weightText } from "./attention-colors";
import { spanName } from "./attention-layout";
import { type HeadMap, type Picture, colSpan, hiddenBy, rowSpan } from "./attention-state";
import { attentionWords, useWords } from "./shared";

/** The keys of a row from the largest weight to the smallest; what is masked is left out. */
export function rankedKeys(map: HeadMap, row: number): { col: number; weight: number }[] {
  const keys: { col: number; weight: number }[] = [];
  for (let col = 0; col < map.cols; col++) {
    if (hiddenBy(map, row, col) === null) keys.push({ col, weight: map.weights[row * map.cols + col] as number });
  }
  // NaN compares with nothing; it goes to the end, where it is still read.
  const order = (weight: number): number => (Number.isNaN(weight) ? -1 : weight);
  return keys.sort((a, b) => order(b.weight) - order(a.weight) || a.col - b.col);
}

function keyName(map: HeadMap, picture: Picture, col: number): string {
  const { first, last } = colSpan(map, col);
  return spanName(picture.keyTokens, first, last);
}

export interface WeightsProps {
  picture: Picture;
  map: HeadMap;
  row: number;
  /** The column that is under the pointer or chosen. */
  col: number | undefined;
  /** Whether the first token's column is hidden in the map; here it turns grey. */
  hideSink: boolean;
  /** How many keys are listed with bars. */
  shown: number;
  /** Says which key the pointer is on. */
  onHover: (col: number | null) => void;
  onChoose: (col: number) => void;
}

/** The largest weights with bars; the table behind the map has all of them. */
export function AttentionWeights(props: WeightsProps): JSX.Element {
  const { picture, map, row, col, hideSink, shown, onHover, onChoose } = props;
  const words = useWords(attentionWords);
  const rows = rowSpan(map, row);
  const from = spanName(picture.queryTokens, rows.first, rows.last);
  const ranked = rankedKeys(map, row);
  // The key in question is listed even where others weigh more.
  const listed = ranked.filter((key, place) => place < shown || key.col === col);
  return (
    <section
      class={`explorer-weights${map.block > 1 ? " has-blocks" : ""}`}
      aria-label={words.weightsOf(from)}
    >
      <h3>{words.attendsTo(<bdi>{from}</bdi>)}</h3>
      <ol onPointerLeave={() => onHover(null)}>
        {listed.map(({ col: key, weight }) => (
          <li
            key={key}
            class={`${key === col ? "is-active" : ""}${hideSink && isFirstToken(map, key) ? " is-hidden" : ""}`}
            onPointerEnter={() => onHover(key)}
            onClick={() => onChoose(key)}
          >
            <bdi>{keyName(map, picture, key)}</bdi>
            <i aria-hidden="true">
              <b style={{ width: `${Math.max(0, Math.min(1, weight || 0)) * 100}%` }} />
            </i>
            <span>{weightText(weight, map.exact, words.notANumber)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
