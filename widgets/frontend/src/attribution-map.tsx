// The answer: the prompt's tokens coloured by what they contributed, with the limits of the colours as numbers.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { type AttributionPicture, type Method, METHODS, type Scored } from "./attribution-picture";
import { formatScore, limitOf, percentOf, type ScoredChip } from "./attribution-scores";
import {
  attributionWords,
  Legend,
  sharedWords,
  signedIndex,
  swatch,
  tableOf,
  tokenName,
  TokenStrip,
  useModel,
  useWords,
} from "./shared";

export interface MapProps {
  picture: AttributionPicture;
  method: Method;
  result: Scored;
}

/** A character's or word's chip has the colour of its sum; each of its pieces says its own number. */
export function ScoreMap({ picture, method, result }: MapProps): JSX.Element {
  const { dark, theme } = useModel();
  void theme.revision.value; // another surface asks for other inks
  const surface = theme.surface();
  const words = useWords(attributionWords);
  const limit = limitOf(result.chips);
  const table = tableOf("signed", dark.value);
  const chipOf = useMemo(() => result.chips.flatMap((chip) => chip.indices.map(() => chip)), [result]);
  return (
    <div class="explorer-attribution-map">
      <TokenStrip
        label={words.scored}
        linked
        tokens={picture.tokens}
        colorOf={(index) => {
          const score = chipOf[index]?.score ?? 0;
          return { ...swatch(table, signedIndex(score, limit), surface), sign: Math.sign(score) };
        }}
        describe={(index) => formatScore(result.scores[index] ?? 0)}
        tip={(index) => <Tip index={index} chip={chipOf[index]} picture={picture} method={method} />}
      />
      <Legend table="signed" low={words.against(formatScore(-limit))} high={words.for(formatScore(limit))} />
    </div>
  );
}

interface TipProps {
  index: number;
  chip: ScoredChip | undefined;
  picture: AttributionPicture;
  method: Method;
}

function Tip({ index, chip, picture, method }: TipProps): JSX.Element | null {
  const words = useWords(attributionWords);
  const common = useWords(sharedWords);
  const token = picture.tokens[index];
  if (token === undefined || chip === undefined) return null;
  const share = percentOf(chip.score, picture.results[method]?.difference ?? 0, common);
  const whole = { text: chip.text, kind: chip.kind };
  return (
    <>
      <div>
        <bdi>{tokenName(whole)}</bdi> <b>{formatScore(chip.score)}</b>
        {share !== "" && <span class="explorer-attribution-quiet"> {words.shareOfExplained(share)}</span>}
      </div>
      {chip.indices.length > 1 && (
        <div>
          {chip.scores.map((score, piece) => (
            <span key={piece} class={`explorer-attribution-part ${chip.indices[piece] === index ? "is-here" : ""}`}>
              {piece + 1}/{chip.scores.length} <b>{formatScore(score)}</b>
            </span>
          ))}
        </div>
      )}
      {METHODS.filter((key) => key !== method).map((key) => {
        const other = picture.results[key]?.chips.find(({ indices }) => indices.includes(index));
        return other === undefined ? null : (
          <div key={key} class="explorer-attribution-quiet">
            {words.methods[key].label} {formatScore(other.score)}
          </div>
        );
      })}
      <div class="explorer-attribution-quiet">
        {common.position(index)} · {common.id(token.id)}
      </div>
    </>
  );
}
