// Which method is shown, what is still being computed, and how far each can be trusted.

import type { JSX } from "preact";
import {
  type AttributionPicture,
  type AttributionWords,
  type Method,
  METHODS,
  type Scored,
  type State,
} from "./attribution-picture";
import { formatAmount } from "./attribution-scores";
import {
  attributionWords,
  inWords,
  noteWords,
  sharedWords,
  type Status,
  tokenName,
  useDomId,
  useModel,
  useWords,
} from "./shared";

/** The method that can be shown now: the wanted one, or the one that is ready. */
export function shownMethod(picture: AttributionPicture, wanted: Method): Method | null {
  if (picture.results[wanted]) return wanted;
  return METHODS.find((key) => picture.results[key]) ?? null;
}

/** A toggle for each method; one that is not ready says so and is shown as soon as it is. */
export function Methods({ picture, wanted }: { picture: AttributionPicture; wanted: Method }): JSX.Element {
  const model = useModel<State>();
  const words = useWords(attributionWords);
  const common = useWords(sharedWords);
  const notes = useWords(noteWords);
  const status = model.trait("status").value ?? {};
  const waitingId = useDomId();
  const waiting = METHODS.filter((key) => !picture.results[key]);
  const shown = shownMethod(picture, wanted);
  const working = status.state === "working" && typeof status.progress === "number";
  const percent = working ? common.percent(String(Math.round(100 * progressOf(status)))) : "";
  const step = inWords(status.progress_note ?? "", notes) || common.states.working;
  return (
    <div class="explorer-attribution-methods">
      <div role="group" aria-label={words.method}>
        {METHODS.map((key) => (
          <button
            key={key}
            type="button"
            class={`explorer-button ${picture.results[key] ? "" : "is-waiting"}`}
            title={words.methods[key].meaning}
            aria-pressed={key === wanted}
            aria-describedby={picture.results[key] ? undefined : waitingId}
            onClick={() => model.write({ method: key })}
          >
            {words.methods[key].label}
          </button>
        ))}
      </div>
      {(waiting.length > 0 || working) && (
        <div class="explorer-attribution-progress">
          <div class="explorer-attribution-bar" aria-hidden="true">
            <div style={{ width: `${Math.round(100 * progressOf(status))}%` }} />
          </div>
          <p id={waitingId} role="status">
            {waiting.length === 0 ? words.ready(step, percent) : waitingWords(waiting, shown, wanted, percent, words)}
          </p>
        </div>
      )}
    </div>
  );
}

function progressOf({ progress }: Partial<Status>): number {
  return typeof progress === "number" ? Math.max(0, Math.min(1, progress)) : 0;
}

function waitingWords(
  waiting: readonly Method[],
  shown: Method | null,
  wanted: Method,
  percent: string,
  words: AttributionWords,
): string {
  const what = waiting.map((key) => words.methods[key].label).reduce(words.both);
  const sentence = percent === "" ? words.notReady(what) : words.ready(what, percent);
  return shown === null || shown === wanted ? sentence : words.untilThen(sentence, words.methods[shown].label);
}

// Scores that miss what they explain by more than this share are no shares of it.
const FAR_OFF = 0.25;
// An integral that misses by more than this share has not converged; Python stops adding steps there, too.
const GOOD_DELTA = 0.05;

/** What the explained number changed by between baseline and prompt: what integrated scores should add up to. */
function changeOf(result: Scored): number {
  return result.total - (result.delta ?? 0);
}

function converged(result: Scored): boolean {
  return Math.abs(result.delta ?? 0) <= GOOD_DELTA * Math.abs(changeOf(result));
}

/** What a reader must know before reading the map; empty where it can be taken at its word. */
export function warningFor(
  method: Method,
  result: Scored,
  integrated: Scored | undefined,
  words: AttributionWords,
): string {
  if (method === "integrated_gradients") {
    if (converged(result)) return "";
    return words.notSettled(formatAmount(Math.abs(result.delta!)), formatAmount(Math.abs(changeOf(result))));
  }
  if (Math.abs(result.total - result.difference) <= FAR_OFF * Math.abs(result.difference)) return "";
  const better = integrated !== undefined && integrated.delta !== null && converged(integrated);
  return better ? words.noSharesBut(formatAmount(integrated.delta!)) : words.noShares;
}

/** What a map is worth: what it explains, how much of it the scores add up to, and how well they were integrated. */
export function Proof({ picture, method, result }: { picture: AttributionPicture; method: Method; result: Scored }): JSX.Element {
  const words = useWords(attributionWords);
  const notes = useWords(noteWords);
  const { target, against } = picture;
  const warning = warningFor(method, result, picture.results.integrated_gradients, words);
  const named = <bdi>{tokenName(target)}</bdi>;
  const contrast = against === null ? null : <bdi>{tokenName(against)}</bdi>;
  return (
    <div class="explorer-attribution-proof">
      <dl>
        <div>
          <dt>{words.explained}</dt>
          <dd>
            {contrast === null ? words.logitOf(named) : words.logitDifference(named, contrast)}{" "}
            <b>{formatAmount(result.difference)}</b>
          </dd>
        </div>
        <div>
          <dt>{words.completeness}</dt>
          <dd>
            {words.sumOfScores} <b>{words.of(formatAmount(result.total), formatAmount(result.difference))}</b>
          </dd>
        </div>
        {result.delta !== null && (
          <>
            <div>
              <dt>{words.baselineAlone}</dt>
              <dd>
                {inWords(result.baseline, notes)} <b>{formatAmount(result.difference - changeOf(result))}</b>
              </dd>
            </div>
            <div>
              <dt>{words.convergenceDelta}</dt>
              <dd>
                {result.steps !== null && `${words.steps(result.steps)} `}
                <b>{formatAmount(result.delta)}</b>
              </dd>
            </div>
          </>
        )}
      </dl>
      {warning !== "" && <p class="explorer-warning">{warning}</p>}
    </div>
  );
}
