// TokenPanel: what the model is really given. Everything comes from reading the text, so no pass is waited for.

import type { JSX } from "preact";
import { Comparison } from "./token-compare";
import { readTokenView, type State, type TokenPicture } from "./token-picture";
import { TokenTable } from "./token-table";
import { cautionWords, inWords, mountPanel, noteWords, Panel, type Said, sharedWords, tokenWords, useDomId, useModel, usePicture, useWords } from "./shared";

function TokenPanel(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(tokenWords);
  const { picture, fault } = usePicture(readTokenView).value;
  const { name } = model.trait("about").value ?? {};
  const wanted = model.trait("chosen").value ?? null;
  const chosen = wanted !== null && wanted < (picture?.tokens.length ?? 0) ? wanted : null;
  const strip = {
    selected: chosen === null ? [] : [chosen],
    onClick: (index: number) => model.write({ chosen: index === chosen ? null : index }),
    onRelease: () => model.write({ chosen: null }),
  };
  return (
    <Panel
      name="token"
      title={words.title}
      subtitle={name}
      tokens={picture?.tokens ?? []}
      strip={strip}
      ready={picture !== null}
      fault={fault}
      keys={words.keys}
    >
      {picture !== null && (
        <>
          <Facts picture={picture} />
          <Notes picture={picture} />
          {picture.other !== null && <Comparison picture={picture} other={picture.other} name={name ?? ""} />}
          <TokenTable picture={picture} chosen={chosen} />
        </>
      )}
    </Panel>
  );
}

function Facts({ picture }: { picture: TokenPicture }): JSX.Element {
  const model = useModel<State>();
  const words = useWords(tokenWords);
  const { counts, adds, names, context } = picture;
  const own = counts.tokens;
  const ratio = (many: number): string => (many > 0 ? (own / many).toFixed(2) : "–");
  const can = adds !== null && adds.length > 0;
  return (
    <div class="explorer-token-top">
      <p class="explorer-token-facts">
        <span>{context === null ? words.count(own) : words.countOf(own, context)}</span>
        <span>{words.special(counts.special)}</span>
        <span>{words.perCharacter(counts.characters, ratio(counts.characters))}</span>
        <span>{words.perWord(counts.words, ratio(counts.words))}</span>
      </p>
      <div class="explorer-token-switches">
        <Switch
          label={words.addSpecial}
          note={adds === null ? words.notAtHand : can ? words.adds(adds.join(" ")) : words.addsNone}
          can={can}
          on={model.trait("special_tokens").value === true}
          onChange={(on) => model.write({ special_tokens: on })}
        />
        <Switch
          label={words.literal}
          note={names === null ? words.notAtHand : names.length > 0 ? words.suchAs(names.join(" ")) : words.noSpecial}
          can={names !== null && names.length > 0}
          on={model.trait("literal").value === true}
          onChange={(on) => model.write({ literal: on })}
        />
      </div>
    </div>
  );
}

interface SwitchProps {
  label: string;
  /** What it would do here, or why it cannot. */
  note: string;
  can: boolean;
  on: boolean;
  onChange: (on: boolean) => void;
}

function Switch({ label, note, can, on, onChange }: SwitchProps): JSX.Element {
  const id = useDomId();
  const live = useModel().connected.value;
  const { needsModel } = useWords(sharedWords);
  return (
    <label class="explorer-token-switch" for={id} title={live ? undefined : needsModel}>
      <input
        id={id}
        type="checkbox"
        disabled={!can || !live}
        checked={can && on}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
      <span>
        {label} <small>{note}</small>
      </span>
    </label>
  );
}

function Notes({ picture }: { picture: TokenPicture }): JSX.Element | null {
  const words = useWords(tokenWords);
  const wordings = { ...useWords(noteWords), ...useWords(cautionWords) };
  if (picture.warnings.length + picture.remarks.length === 0) return null;
  const line = (said: Said, kind: "warning" | "remark"): JSX.Element => {
    const text = inWords(said, wordings);
    return (
      <li key={text} class={`is-${kind}`}>
        <span class="explorer-hidden">{kind === "warning" ? words.warning : words.remark}: </span>
        {text}
      </li>
    );
  };
  return (
    <ul class="explorer-token-notes" aria-label={words.notes}>
      {picture.warnings.map((said) => line(said, "warning"))}
      {picture.remarks.map((said) => line(said, "remark"))}
    </ul>
  );
}

export default mountPanel(TokenPanel);
