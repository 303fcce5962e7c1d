// The scores as text: for people who cannot see colours, and for copying.

import type { JSX } from "preact";
import { type AttributionPicture, METHODS } from "./attribution-picture";
import { formatScore } from "./attribution-scores";
import { attributionWords, type Column, NumberTable, useWords, visible } from "./shared";

/** A table of all scores, one row a token, pieces apart. */
export function ScoreTable({ picture }: { picture: AttributionPicture }): JSX.Element {
  const words = useWords(attributionWords);
  const { tokens, results } = picture;
  const token = (row: number): JSX.Element => {
    const { text, part, parts } = tokens[row]!;
    return (
      <>
        <bdi dir="auto">{visible(text)}</bdi>
        {parts > 1 && ` ${part}/${parts}`}
      </>
    );
  };
  const columns = METHODS.flatMap<Column>((key) => {
    const scores = results[key]?.scores;
    return scores ? [{ head: words.methods[key].label, cell: (row) => formatScore(scores[row]!) }] : [];
  });
  return (
    <NumberTable
      summary={words.asTable}
      caption={words.asTable}
      lead={[
        { head: words.position, cell: (row) => row },
        { head: words.token, cell: token, kind: "head" },
        { head: "id", cell: (row) => tokens[row]!.id },
      ]}
      columns={columns}
      rows={tokens.length}
    />
  );
}
