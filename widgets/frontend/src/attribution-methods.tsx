// Which method is shown, what is still being computed, and how far each can be trusted.

import type { JSX } from "preact";
import { type AttributionPicture, type Method, METHODS, type Scored, type State } from "./attribution-picture";
import { formatAmount } from "./attribution-scores";
import { type Status, tokenName, useDomId, useModel } from "./shared";

/** The method that can be shown now: the wanted one, or the one that is ready. */
export function shownMethod(picture: AttributionPicture, wanted: Method): Method | null {
  if (picture.results[wanted]) return wanted;
  return METHODS.find(({ key }) => picture.results[key])?.key ?? null;
}

/** A toggle for each method; one that is not ready says so and is shown as soon as it is. */
export function Methods({ picture, wanted }: { picture: AttributionPicture; wanted: Method }): JSX.Element {
  const model = useModel<State>();
  const status = model.trait("status").value ?? {};
  const waitingId = useDomId();
  const waiting = METHODS.filter(({ key }) => !picture.results[key]);
  const shown = shownMethod(picture, wanted);
  const working = typeof status.progress === "number";
  return (
    <div class="explorer-attribution-methods">
      <div role="group" aria-label="Method">
        {METHODS.map(({ key, label, meaning }) => (
          <button
            key={key}
            type="button"
            class={`explorer-button ${picture.results[key] ? "" : "is-waiting"}`}
            title={meaning}
            aria-pressed={key === wanted}
            aria-describedby={picture.results[key] ? undefined : waitingId}
            onClick={() => model.write({ method: key })}
          >
            {label}
          </button>
        ))}
      </div>
      {(waiting.length > 0 || working) && (
        <div class="explorer-attribution-progress">
          <div class="explorer-attribution-bar" aria-hidden="true">
            <div style={{ width: `${Math.round(100 * progressOf(status))}%` }} />
          </div>
          <p id={waitingId} role="status">
            {waitingWords(waiting, shown, wanted, status)}
          </p>
        </div>
      )}
    </div>
  );
}

function progressOf({ progress }: Partial<Status>): number {
  return typeof progress === "number" ? Math.max(0, Math.min(1, progress)) : 0;
}

function labelOf(method: Method): string {
  return METHODS.find(({ key }) => key === method)!.label;
}

function waitingWords(
  waiting: readonly { key: Method; label: string }[],
  shown: Method | null,
  wanted: Method,
  status: Partial<Status>,
): string {
  const percent = typeof status.progress === "number" ? ` ${Math.round(100 * progressOf(status))} %` : "";
  const what = waiting.map(({ label }) => label).join(" and ");
  if (what === "") return `${status.progress_note || "working"}${percent}`;
  const meanwhile = shown !== null && shown !== wanted ? `; ${labelOf(shown)} is shown until then` : "";
  return percent === "" ? `${what}: not ready yet${meanwhile}` : `${what}:${percent}${meanwhile}`;
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
export function warningFor(method: Method, result: Scored, integrated: Scored | undefined): string {
  if (method === "integrated_gradients") {
    if (converged(result)) return "";
    return (
      `The integration has not settled: its scores miss the change they explain by ${formatAmount(Math.abs(result.delta!))} ` +
      `of ${formatAmount(Math.abs(changeOf(result)))}.`
    );
  }
  if (Math.abs(result.total - result.difference) <= FAR_OFF * Math.abs(result.difference)) return "";
  const better = integrated !== undefined && integrated.delta !== null && converged(integrated);
  return (
    "These scores do not add up to what they explain: read them as a direction, not as shares." +
    (better ? ` Integrated gradients do (delta ${formatAmount(integrated.delta!)}).` : "")
  );
}

/** What a map is worth: what it explains, how much of it the scores add up to, and how well they were integrated. */
export function Proof({ picture, method, result }: { picture: AttributionPicture; method: Method; result: Scored }): JSX.Element {
  const { target, against } = picture;
  const warning = warningFor(method, result, picture.results.integrated_gradients);
  return (
    <div class="explorer-attribution-proof">
      <dl>
        <div>
          <dt>Explained</dt>
          <dd>
            logit of <bdi>{tokenName(target)}</bdi>
            {against !== null && (
              <>
                {" "}
                minus <bdi>{tokenName(against)}</bdi>
              </>
            )}{" "}
            <b>{formatAmount(result.difference)}</b>
          </dd>
        </div>
        <div>
          <dt>Completeness</dt>
          <dd>
            sum of scores{" "}
            <b>
              {formatAmount(result.total)} of {formatAmount(result.difference)}
            </b>
          </dd>
        </div>
        {result.delta !== null && (
          <>
            <div>
              <dt>Baseline alone</dt>
              <dd>
                {result.baseline} <b>{formatAmount(result.difference - changeOf(result))}</b>
              </dd>
            </div>
            <div>
              <dt>Convergence delta</dt>
              <dd>
                {result.steps !== null && `${result.steps} steps `}
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
