/** All measures of the heads that are kept, in the chosen order; the chosen head is always among the rows. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { type Head, type Measured, type Order, plain, shortName } from "./attention-ranked";
import { Turn, measureNames, measuresWords, pageOf, sharedWords, useWords } from "./shared";

const ROWS = 10;

/** A value as it is written everywhere here. */
export function shown(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && Math.abs(value) < 0.0005) return "<0.001";
  return Math.abs(value) < 10 ? value.toFixed(3) : value.toFixed(1);
}

export interface MeasuresTableProps {
  measured: Measured;
  order: Order;
  heads: readonly Head[];
  chosen: Head;
  onOrder: (changes: Partial<Order>) => void;
  onChoose: (head: Head) => void;
}

export function MeasuresTable(props: MeasuresTableProps): JSX.Element {
  const { measured, order, heads, chosen } = props;
  const words = useWords(measuresWords);
  const shared = useWords(sharedWords);
  const { names } = useWords(measureNames);
  const from = useSignal(0);
  const page = pageOf(from.value, Math.max(1, heads.length), ROWS);
  const listed = heads.slice(page.first, page.last + 1);
  const isChosen = (at: Head): boolean => at.layer === chosen.layer && at.head === chosen.head;
  const known = measured.all.some(isChosen);
  const rows = listed.some(isChosen) || !known ? listed : [chosen, ...listed];
  const sort = (measure: string): void => {
    from.value = 0;
    props.onOrder(measure === order.measure ? { ascending: !order.ascending } : { measure, ascending: false });
  };
  return (
    <div class="explorer-numbers explorer-measures-table">
      <Turn
        page={page}
        count={heads.length}
        size={ROWS}
        says={shared.rowsShown}
        back={shared.earlierRows}
        on={shared.laterRows}
        onTurn={(to) => (from.value = to)}
      />
      <div class="explorer-numbers-room" role="group" tabIndex={0} aria-label={words.table}>
        <table aria-label={words.table}>
          <thead>
            <tr>
              <th scope="col" class="is-words">
                {words.headColumn}
              </th>
              {measured.measures.map((measure) => {
                const by = measure === order.measure;
                return (
                  <th key={measure} scope="col" aria-sort={by ? (order.ascending ? "ascending" : "descending") : "none"}>
                    <button
                      type="button"
                      class={by ? "is-sorted" : undefined}
                      title={[words.sortBy(names[measure] ?? measure), ...(words.means[plain(measure)] ?? [])].join(" · ")}
                      onClick={() => sort(measure)}
                    >
                      {names[measure] ?? measure}
                      <span aria-hidden="true">{by ? (order.ascending ? " ↑" : " ↓") : ""}</span>
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {rows.map((at) => (
              <tr key={shortName(at)} class={isChosen(at) ? "is-chosen" : undefined} onClick={() => props.onChoose(at)}>
                <th scope="row">
                  <button type="button" title={words.head(at.layer, at.head)} aria-pressed={isChosen(at)}>
                    {shortName(at)}
                  </button>
                </th>
                {measured.measures.map((measure) => (
                  <td key={measure} class={measure === order.measure ? "is-sorted" : undefined}>
                    {shown(measured.valueOf(measure, at))}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}
