// The scores as text: for people who cannot see colours, and for copying.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { type AttributionPicture, METHODS, type Unit } from "./attribution-picture";
import { formatScore } from "./attribution-scores";
import { attributionWords, type Column, NumberTable, useWords, visible } from "./shared";

const BY = ["token", "character", "word"] as const;

/** A table of all scores: one row a token, pieces apart, or one a character or word with the sum of its tokens. */
export function ScoreTable({ picture }: { picture: AttributionPicture }): JSX.Element {
  const words = useWords(attributionWords);
  const wanted = useSignal<(typeof BY)[number]>("token");
  const { tokens, units, results } = picture;
  const can = BY.filter((by) => by === "token" || units[by] !== undefined);
  const by = can.includes(wanted.value) ? wanted.value : "token";
  const singles = (): Unit[] => tokens.map(({ text }, index) => ({ text, first: index, last: index }));
  const rows = by === "token" ? singles() : (units[by] ?? []);
  const text = (row: number): JSX.Element => {
    const { part, parts } = tokens[rows[row]!.first]!;
    return (
      <>
        <bdi dir="auto">{visible(rows[row]!.text)}</bdi>
        {by === "token" && parts > 1 && ` ${part}/${parts}`}
      </>
    );
  };
  const position = (row: number): string => {
    const { first, last } = rows[row]!;
    return first === last ? String(first) : `${first}–${last}`;
  };
  const columns = METHODS.flatMap<Column>((key) => {
    const scores = results[key]?.scores;
    if (!scores) return [];
    const sum = ({ first, last }: Unit): number => scores.slice(first, last + 1).reduce((all, score) => all + score, 0);
    return [{ head: words.methods[key].label, cell: (row) => formatScore(sum(rows[row]!)) }];
  });
  return (
    <>
      {can.length > 1 && (
        <div class="explorer-attribution-by" role="group" aria-label={words.summedBy}>
          <span>{words.summedBy}</span>
          {can.map((key) => (
            <button
              key={key}
              type="button"
              class="explorer-button"
              title={words.byMeaning[key]}
              aria-pressed={key === by}
              onClick={() => (wanted.value = key)}
            >
              {words.by[key]}
            </button>
          ))}
        </div>
      )}
      <NumberTable
        summary={words.asTable}
        caption={words.asTable}
        lead={[
          { head: words.position, cell: position },
          { head: words.by[by], cell: text, kind: "head" },
          ...(by === "token" ? [{ head: "id", cell: (row: number) => tokens[row]!.id }] : []),
        ]}
        columns={columns}
        rows={rows.length}
      />
    </>
  );
}
