import type { JSX } from "preact";
import { type TableKind, gradient, tableOf } from "./colors";
import { useModel } from "./scope";
import { sharedWords, useWords } from "./words";

export interface LegendProps {
  /** Which colour table is explained. */
  table: TableKind;
  /** What the left end means: a number, with a word where the number alone would not be understood. */
  low: string;
  high: string;
}

/** A bar of the colours with what its ends mean: `0 ▭▭▭ 1`. */
export function Legend({ table, low, high }: LegendProps): JSX.Element {
  const { dark } = useModel();
  const words = useWords(sharedWords);
  return (
    <span class="explorer-legend" role="img" aria-label={words.colors(low, high)}>
      <span>{low}</span>
      <span class={`explorer-legend-bar is-${table}`} style={{ backgroundImage: gradient(tableOf(table, dark.value)) }} />
      <span>{high}</span>
    </span>
  );
}
