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
  visible,
} from "./shared";

export interface MapProps {
  picture: AttributionPicture;
  method: Method;
  result: Scored;
  /** What was pinned, if anything. */
  pinned: AttributionPicture | null;
}

/** The scores of the prompt and, below them in the same colours, those of what is pinned. */
export function ScoreMap({ picture, method, result, pinned }: MapProps): JSX.Element {
  const words = useWords(attributionWords);
  const before = pinned?.results[method];
  const limit = Math.max(limitOf(result.chips), limitOf(before?.chips ?? []));
  const scores = { picture, method, result, limit };
  return (
    <div class="explorer-attribution-map">
      <ScoreRow
        {...scores}
        label={words.scored}
        linked
        before={pinned !== null && before !== undefined ? alike(picture, pinned, before) : undefined}
      />
      {pinned !== null && (
        <div class="explorer-attribution-pinned">
          <p>
            <span class="explorer-mark">{words.pinned}</span> <Why picture={pinned} />
            {before === undefined && ` · ${words.notPinned(words.methods[method].label)}`}
          </p>
          {before !== undefined && (
            <ScoreRow {...{ picture: pinned, method, result: before, limit }} label={words.pinnedScored} />
          )}
        </div>
      )}
      <Legend table="signed" low={words.against(formatScore(-limit))} high={words.for(formatScore(limit))} />
    </div>
  );
}

/** What is explained, in words. */
export function Why({ picture }: { picture: AttributionPicture }): JSX.Element {
  const words = useWords(attributionWords);
  const target = <bdi class="explorer-attribution-token">{visible(picture.target.text)}</bdi>;
  const contrast = picture.against && (
    <bdi class="explorer-attribution-token is-against">{visible(picture.against.text)}</bdi>
  );
  return <>{contrast === null ? words.why(target) : words.whyNot(target, contrast)}</>;
}

/** The pinned score of each token that stands where it stood then. */
function alike(picture: AttributionPicture, pinned: AttributionPicture, before: Scored): (number | undefined)[] {
  return picture.tokens.map(({ id }, index) => (pinned.tokens[index]?.id === id ? before.scores[index] : undefined));
}

interface RowProps {
  picture: AttributionPicture;
  method: Method;
  result: Scored;
  /** Of the colours. */
  limit: number;
  label: string;
  linked?: boolean;
  before?: (number | undefined)[] | undefined;
}

/** A character's or word's chip has the colour of its sum; each of its pieces says its own number. */
function ScoreRow({ picture, method, result, limit, label, linked, before }: RowProps): JSX.Element {
  const { dark, theme } = useModel();
  void theme.revision.value; // another surface asks for other inks
  const surface = theme.surface();
  const words = useWords(attributionWords);
  const { listed } = useWords(sharedWords);
  const table = tableOf("signed", dark.value);
  const chipOf = useMemo(() => result.chips.flatMap((chip) => chip.indices.map(() => chip)), [result]);
  const compared = (index: number): string[] => {
    const was = before?.[index];
    return was === undefined
      ? []
      : [words.pinnedScore(formatScore(was)), words.change(formatScore((result.scores[index] ?? 0) - was))];
  };
  return (
    <TokenStrip
      label={label}
      linked={linked}
      tokens={picture.tokens}
      colorOf={(index) => {
        const score = chipOf[index]?.score ?? 0;
        return { ...swatch(table, signedIndex(score, limit), surface), sign: Math.sign(score) };
      }}
      describe={(index) => listed([formatScore(result.scores[index] ?? 0), ...compared(index)])}
      tip={(index) => (
        <Tip index={index} chip={chipOf[index]} picture={picture} method={method} compared={compared(index)} />
      )}
    />
  );
}

interface TipProps {
  index: number;
  chip: ScoredChip | undefined;
  picture: AttributionPicture;
  method: Method;
  /** What it was in what is pinned, and by how much it changed. */
  compared: string[];
}

function Tip({ index, chip, picture, method, compared }: TipProps): JSX.Element | null {
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
      {compared.length > 0 && <div>{compared.join(" · ")}</div>}
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
