/** The chosen head's map as a table: every weight that the colours show, as a number. */

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { spanName } from "./attention-layout";
import { weightText } from "./attention-colors";
import type { Meaning } from "./attention-map";
import { type HeadMap, type Sides, type Span, colSpan, headsName, hiddenBy, rowSpan } from "./attention-state";
import { type Cell, type Column, NumberTable, type WireToken, attentionWords, useWords } from "./shared";

export interface TableProps {
  map: HeadMap;
  picture: Sides;
  /** What is chosen; the table opens there where it is too large for one page. */
  chosen: Partial<Cell>;
  /** What the map shows where it is no weight of the chosen heads. */
  meaning?: Pick<Meaning, "label" | "says">;
}

/** Rows are queries and columns are keys, as in the map. What is masked is a dash. */
export function AttentionTable({ map, picture, chosen, meaning }: TableProps): JSX.Element {
  const words = useWords(attentionWords);
  const [lead, columns] = useMemo(() => {
    const name = (tokens: readonly WireToken[], { first, last }: Span): JSX.Element => (
      <>
        {first} <bdi>{spanName(tokens, first, last)}</bdi>
      </>
    );
    const cell = (row: number, col: number): JSX.Element | string => {
      const hidden = hiddenBy(map, row, col);
      const weight = map.weights[row * map.cols + col] ?? NaN;
      if (hidden === null && meaning !== undefined) return meaning.says({ row, col }).weight;
      if (hidden === null) return weightText(weight, map.exact, words.notANumber);
      return (
        <>
          <span aria-hidden="true">–</span>
          <span class="explorer-hidden">{hidden === "later" ? words.masked : words.beyondWindow}</span>
        </>
      );
    };
    const queries: Column = { head: words.queryByKey, cell: (row) => name(picture.queryTokens, rowSpan(map, row)), kind: "head" };
    const keys = map.colStart.map<Column>((_, col) => ({
      head: name(picture.keyTokens, colSpan(map, col)),
      cell: (row) => cell(row, col),
    }));
    return [[queries], keys];
  }, [map, picture, words, meaning]);
  return (
    <NumberTable
      summary={words.mapAsTable(map.rows, map.cols)}
      caption={meaning?.label ?? words.map(headsName(words, map))}
      lead={lead}
      columns={columns}
      rows={map.rows}
      at={chosen}
    />
  );
}
