// AttributionPanel: the likeliest next tokens, and what in the prompt speaks for or against the chosen one.

import type { JSX } from "preact";
import { ScoreMap, Why } from "./attribution-map";
import { Methods, Proof, shownMethod } from "./attribution-methods";
import { type AttributionPicture, METHODS, readAttributionView, type State } from "./attribution-picture";
import { type Asked, Question } from "./attribution-question";
import { ScoreTable } from "./attribution-table";
import { attributionWords, inWords, mountPanel, noteWords, Panel, useModel, usePicture, usePinned, useWords } from "./shared";

function AttributionPanel(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(attributionWords);
  const { picture, fault } = usePicture(readAttributionView).value;
  const { name } = model.trait("about").value ?? {};
  const wanted = METHODS.find((key) => key === model.trait("method").value) ?? METHODS[0]!;
  const target = model.trait("target").value ?? null;
  const against = model.trait("against").value ?? null;
  return (
    <Panel name="attribution" title={words.title} subtitle={name} tokens={[]} ready={picture !== null} fault={fault} keys={words.keys}>
      {picture !== null && <Answer picture={picture} wanted={wanted} asked={askedFor(picture, target, against)} />}
    </Panel>
  );
}

/** No target means the likeliest token, whichever that is. */
function askedFor(picture: AttributionPicture, target: number | null, against: number | null): Asked {
  return { target: target ?? picture.next[0]?.id ?? picture.target.id, against };
}

interface AnswerProps {
  picture: AttributionPicture;
  wanted: State["method"];
  asked: Asked;
}

function Answer({ picture, wanted, asked }: AnswerProps): JSX.Element {
  const pinned = usePinned("attribution", readAttributionView).value;
  const wordings = useWords(noteWords);
  if (picture.unavailable !== "") {
    return (
      <>
        <Question picture={picture} asked={asked} />
        <p class="explorer-note" role="status">
          {inWords(picture.unavailable, wordings)}
        </p>
      </>
    );
  }
  const method = shownMethod(picture, wanted);
  const result = method === null ? undefined : picture.results[method];
  const old = asked.target !== picture.target.id || asked.against !== (picture.against?.id ?? null);
  return (
    <>
      <Question picture={picture} asked={asked} />
      <div class={`explorer-attribution-answer ${old ? "is-old" : ""}`}>
        <div>
          <h3 class="explorer-attribution-why">
            <Why picture={picture} />
          </h3>
          {method !== null && result !== undefined && <ScoreMap {...{ picture, method, result, pinned }} />}
        </div>
        <div>
          <Methods picture={picture} wanted={wanted} />
          {method !== null && result !== undefined && <Proof picture={picture} method={method} result={result} />}
        </div>
      </div>
      <ScoreTable picture={picture} />
    </>
  );
}

export default mountPanel(AttributionPanel);
