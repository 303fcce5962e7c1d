/** The numbers behind a picture as a table: for reading, for listening and for copying. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useDomId } from "./scope";
import { sharedWords, useWords } from "./words";

export interface Column {
  head: ComponentChildren;
  /** What stands in a row; `row` counts all rows, not those of the page that is turned to. */
  cell: (row: number) => ComponentChildren;
  /** "head": what the row is about. "words": text. Anything else is a number. */
  kind?: "head" | "words";
}

export interface NumberTableProps {
  /** The words to unfold it by. */
  summary: string;
  /** What the numbers are, for people who cannot see what stands around them. */
  caption: string;
  /** Columns that stay, whichever page is turned to. */
  lead: readonly Column[];
  /** The other columns, of which a page shows some. */
  columns: readonly Column[];
  rows: number;
  /** A row and a column that the first page should hold. */
  at?: { row?: number | undefined; col?: number | undefined };
}

// As much as a screen reader can walk and a browser lays out at once.
export const ROWS_A_PAGE = 50;
export const COLS_A_PAGE = 16;

/** Where pages of `size` begin among `count`; `at` is on the page that is given. */
export function pageOf(at: number, count: number, size: number): { first: number; last: number } {
  const within = Math.max(0, Math.min(count - 1, at));
  const first = Math.floor(within / size) * size;
  return { first, last: Math.min(count, first + size) - 1 };
}

/** A table to unfold. It is built when it is, as a picture that changes would build it anew each time. */
export function NumberTable(props: NumberTableProps): JSX.Element {
  const open = useSignal(false);
  return (
    <details class="explorer-numbers" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{props.summary}</summary>
      {open.value && <Pages {...props} />}
    </details>
  );
}

function Pages({ caption, lead, columns, rows, at = {} }: NumberTableProps): JSX.Element {
  const words = useWords(sharedWords);
  const captionId = useDomId();
  const row = useSignal(at.row ?? 0);
  const col = useSignal(at.col ?? 0);
  const down = pageOf(row.value, rows, ROWS_A_PAGE);
  const across = pageOf(col.value, columns.length, COLS_A_PAGE);
  const shown = [...lead, ...columns.slice(across.first, across.last + 1)];
  return (
    <>
      <Turn
        page={down}
        count={rows}
        size={ROWS_A_PAGE}
        says={words.rowsShown}
        back={words.earlierRows}
        on={words.laterRows}
        onTurn={(to) => (row.value = to)}
      />
      <Turn
        page={across}
        count={columns.length}
        size={COLS_A_PAGE}
        says={words.columnsShown}
        back={words.earlierColumns}
        on={words.laterColumns}
        onTurn={(to) => (col.value = to)}
      />
      <div class="explorer-numbers-room" role="group" tabIndex={0} aria-labelledby={captionId}>
        <table>
          <caption id={captionId} class="explorer-hidden">
            {caption}
          </caption>
          <thead>
            <tr>
              {shown.map(({ head, kind }, place) => (
                <th key={place} scope="col" class={kind === undefined ? undefined : "is-words"}>
                  {head}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {Array.from({ length: down.last - down.first + 1 }, (_, offset) => down.first + offset).map((index) => (
              <tr key={index}>
                {shown.map(({ cell, kind }, place) =>
                  kind === "head" ? (
                    <th key={place} scope="row">
                      {cell(index)}
                    </th>
                  ) : (
                    <td key={place} class={kind === "words" ? "is-words" : undefined}>
                      {cell(index)}
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

export interface TurnProps {
  page: { first: number; last: number };
  count: number;
  size: number;
  says: (first: number, last: number, count: number) => string;
  back: string;
  on: string;
  onTurn: (to: number) => void;
}

/** Buttons to the pages before and after; nothing where all fits on one. */
export function Turn({ page, count, size, says, back, on, onTurn }: TurnProps): JSX.Element | null {
  if (count <= size) return null;
  // Buttons at an end stay reachable: whoever turned to the last page keeps the keyboard's place.
  const button = (name: string, sign: string, to: number, ends: boolean): JSX.Element => (
    <button
      type="button"
      class="explorer-button"
      aria-label={name}
      aria-disabled={ends}
      onClick={() => !ends && onTurn(to)}
    >
      {sign}
    </button>
  );
  return (
    <div class="explorer-numbers-turn">
      {button(back, "‹", page.first - size, page.first === 0)}
      <span role="status">{says(page.first + 1, page.last + 1, count)}</span>
      {button(on, "›", page.last + 1, page.last + 1 >= count)}
    </div>
  );
}
