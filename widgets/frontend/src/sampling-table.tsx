// The bars as text: rank, token, id, probability and, where there is one, the filter that cut it.

import type { JSX } from "preact";
import { type ChartProps, labelOf } from "./sampling-chart";
import type { Distribution } from "./sampling-math";
import { nameCut, type SamplingWords } from "./sampling-settings";
import { formatChange } from "./sampling-words";
import { type Column, NumberTable, samplingWords, useWords, visible } from "./shared";

const MOST_ROWS = 200;

/** A table of the likeliest tokens that have names, those that were cut included. */
export function ProbabilityTable({ distribution, settings, labels, pinned }: ChartProps): JSX.Element {
  const words = useWords(samplingWords);
  const possible = distribution.size - distribution.impossible;
  let rows = 0;
  while (rows < Math.min(MOST_ROWS, possible) && labels.has(distribution.id(rows))) rows++;
  const cutBy = (rank: number): string => {
    const cut = distribution.cuts.find(({ from, to }) => rank >= from && rank < to);
    return cut === undefined ? "" : nameCut(cut.filter, settings, words);
  };
  return (
    <NumberTable
      summary={words.asTable(rows)}
      caption={words.likeliest}
      lead={[
        { head: words.rankHead, cell: (rank) => rank + 1 },
        {
          head: words.tokenHead,
          cell: (rank) => <bdi dir="auto">{visible(labelOf(labels, distribution.id(rank), words).text)}</bdi>,
          kind: "head",
        },
        { head: "id", cell: (rank) => distribution.id(rank) },
      ]}
      columns={[
        { head: words.probabilityHead, cell: (rank) => distribution.probability(rank).toPrecision(4) },
        { head: words.cutHead, cell: cutBy, kind: "words" },
        ...(pinned === null ? [] : compared(distribution, pinned, words)),
      ]}
      rows={rows}
    />
  );
}

/** What tokens were drawn with in what is pinned, and by how much that changed. */
function compared(now: Distribution, pinned: Distribution, words: SamplingWords): Column[] {
  const before = (rank: number): number => pinned.chance(now.id(rank));
  const change = (rank: number): number => (rank < now.kept ? now.probability(rank) : 0) - before(rank);
  return [
    { head: words.pinnedHead, cell: (rank) => before(rank).toPrecision(4) },
    { head: words.changeHead, cell: (rank) => formatChange(change(rank)) },
  ];
}
