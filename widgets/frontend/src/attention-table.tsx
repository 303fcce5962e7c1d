/** The chosen head's map as a table: every weight that the colours show, as a number. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { spanName } from "./attention-layout";
import { type HeadMap, span, weightText } from "./attention-state";
import { type Cell, type Column, NumberTable, type WireToken, attentionWords, useWords } from "./shared";

export interface TableProps {
  map: HeadMap;
  tokens: readonly WireToken[];
  /** What is chosen; the table opens there where it is too large for one page. */
  chosen: Partial<Cell>;
}

/** Rows are queries and columns are keys, as in the map. What is masked is a dash. */
export function AttentionTable({ map, tokens, chosen }: TableProps): JSX.Element {
  const words = useWords(attentionWords);
  const [lead, columns] = useMemo(() => {
    const name = (starts: readonly number[], cell: number): JSX.Element => {
      const { first, last } = span(starts, cell, map.positions);
      return (
        <>
          {first} <bdi>{spanName(tokens, first, last)}</bdi>
        </>
      );
    };
    const cell = (row: number, col: number): JSX.Element | string => {
      const future = map.causal && (map.colStart[col] ?? 0) > span(map.rowStart, row, map.positions).last;
      const weight = map.weights[row * map.cols + col] ?? NaN;
      if (!future) return Number.isNaN(weight) ? words.notANumber : weightText(weight, map.exact);
      return (
        <>
          <span aria-hidden="true">–</span>
          <span class="explorer-hidden">{words.masked}</span>
        </>
      );
    };
    const queries: Column = { head: words.queryByKey, cell: (row) => name(map.rowStart, row), kind: "head" };
    const keys = map.colStart.map<Column>((_, col) => ({
      head: name(map.colStart, col),
      cell: (row) => cell(row, col),
    }));
    return [[queries], keys];
  }, [map, tokens, words]);
  return (
    <NumberTable
      summary={words.mapAsTable(map.rows, map.cols)}
      caption={words.map(map.layer, map.head)}
      lead={lead}
      columns={columns}
      rows={map.rows}
      at={chosen}
    />
  );
}
