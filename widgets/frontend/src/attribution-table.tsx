// The scores as text: for people who cannot see colours, and for copying.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { type AttributionPicture, METHODS } from "./attribution-picture";
import { formatScore } from "./attribution-scores";
import { attributionWords, useWords, visible } from "./shared";

/** A table of all scores, one row a token, pieces apart; built when it is opened. */
export function ScoreTable({ picture }: { picture: AttributionPicture }): JSX.Element {
  const words = useWords(attributionWords);
  const open = useSignal(false);
  const ready = METHODS.filter((key) => picture.results[key]);
  return (
    <details class="explorer-attribution-table" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{words.asTable}</summary>
      {open.value && (
        <table>
          <thead>
            <tr>
              <th scope="col">{words.position}</th>
              <th scope="col">{words.token}</th>
              <th scope="col">id</th>
              {ready.map((key) => (
                <th key={key} scope="col">
                  {words.methods[key].label}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {picture.tokens.map((token, index) => (
              <tr key={index}>
                <td>{index}</td>
                <td>
                  <bdi class="explorer-text" dir="auto">
                    {visible(token.text)}
                  </bdi>
                  {token.parts > 1 && ` ${token.part}/${token.parts}`}
                </td>
                <td>{token.id}</td>
                {ready.map((key) => (
                  <td key={key}>{formatScore(picture.results[key]!.scores[index]!)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </details>
  );
}
