/**
 * Workbench: panels that show one exploration, together. It draws what they have in common, once: the prompt, its tokens
 * and the history. Every panel is a widget of its own and draws itself.
 */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect } from "preact/hooks";
import {
  type CommonState,
  Panel,
  Slot,
  TokenStrip,
  checkView,
  mountPanel,
  useModel,
  usePicture,
  samplingWords,
  sharedWords,
  useWords,
  workbenchWords,
} from "./shared";
import { NEUTRAL } from "./sampling-math";
import { describeSettings, readSettings, sameSettings } from "./sampling-settings";

interface State extends CommonState {
  panels: string[];
}

function Workbench(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(workbenchWords);
  const { tokens, language } = useWords(sharedWords);
  const { picture, fault } = usePicture(checkView).value;
  const code = useSignal<string | null>(null);
  useEffect(
    () =>
      model.onMessage((message) => {
        const { type, text } = message as { type?: string; text?: string };
        if (type === "code") code.value = String(text ?? "");
      }),
    [model],
  );
  const { name, dtype, device } = model.trait("about").value ?? {};
  const count = picture?.tokens.length ?? 0;
  const panels = model.trait("panels").value ?? [];

  // On the way down: panels let no key out.
  const onKeyDown = (event: KeyboardEvent): void => {
    const field = event.target instanceof HTMLElement && event.target.matches("input, textarea");
    if (field || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z") return;
    model.send({ type: event.shiftKey ? "redo" : "undo" });
    event.preventDefault();
  };

  return (
    <div class="explorer-bench" lang={language} onKeyDownCapture={onKeyDown}>
      <Panel
        name="workbench"
        title={words.title}
        subtitle={[name, tokens(count), dtype, device].filter((part) => part).join(" · ")}
        actions={
          <>
            <Button label={words.undo} on={model.trait("can_undo").value} act={() => model.send({ type: "undo" })} />
            <Button label={words.redo} on={model.trait("can_redo").value} act={() => model.send({ type: "redo" })} />
            <Button label={words.pin} title={words.pinMeaning} on={picture !== null} act={() => model.send({ type: "pin" })} />
            <Button
              label={words.code}
              on
              pressed={code.value !== null}
              act={() => (code.value === null ? model.send({ type: "code" }) : (code.value = null))}
            />
          </>
        }
        tokens={picture?.tokens ?? []}
        decoder={{ tokens: picture?.decoder_tokens ?? [] }}
        ready={picture !== null}
        fault={fault}
        keys={words.keys}
      >
        <Pinned />
        <Edits />
        {code.value !== null && (
          <pre class="explorer-code" tabIndex={0} aria-label={words.pythonCode}>
            {code.value}
          </pre>
        )}
      </Panel>
      <div class="explorer-bench-grid">
        {panels.map((reference) => (
          <Slot key={reference} reference={reference} failed={words.notInside} />
        ))}
      </div>
    </div>
  );
}

/** A button that asks Python. */
interface ButtonProps {
  label: string;
  title?: string;
  on: boolean;
  pressed?: boolean;
  act: () => void;
}

function Button({ label, title, on, pressed, act }: ButtonProps): JSX.Element {
  const live = useModel<State>().connected.value;
  const { needsModel } = useWords(sharedWords);
  return (
    <button
      type="button"
      class="explorer-button"
      disabled={!on || !live}
      title={live ? title : needsModel}
      aria-pressed={pressed}
      onClick={act}
    >
      {label}
    </button>
  );
}

/** What was pinned: its prompt, its edits and its settings, with a way to let go of it. */
function Pinned(): JSX.Element | null {
  const model = useModel<State>();
  const words = useWords(workbenchWords);
  const settingWords = useWords(samplingWords);
  const pinned = model.trait("pinned").value ?? null;
  if (pinned === null) return null;
  const settings = readSettings(pinned.settings);
  return (
    <section class="explorer-pinned" aria-label={words.pinned}>
      <span class="explorer-mark">{words.pinned}</span>
      <TokenStrip label={words.pinnedTokens} tokens={pinned.tokens} />
      {pinned.edits.map((edit, number) => (
        <code key={number}>{edit}</code>
      ))}
      {!sameSettings(settings, NEUTRAL) && <span>{describeSettings(settings, settingWords)}</span>}
      <Button label={words.unpin} on act={() => model.send({ type: "unpin" })} />
    </section>
  );
}

/** How the passes are changed, each change with a way to let go of it. */
function Edits(): JSX.Element | null {
  const model = useModel<State>();
  const words = useWords(workbenchWords);
  const { needsModel } = useWords(sharedWords);
  const edits = model.trait("edits").value ?? [];
  if (edits.length === 0) return null;
  return (
    <ul class="explorer-edits" aria-label={words.edits}>
      {edits.map((edit) => (
        <li key={edit.number}>
          <code>{edit.label}</code>
          <button
            type="button"
            class="explorer-button"
            aria-label={words.remove(edit.label)}
            disabled={!model.connected.value}
            title={model.connected.value ? undefined : needsModel}
            onClick={() => model.write({ edits: edits.filter((other) => other !== edit) })}
          >
            ×
          </button>
        </li>
      ))}
    </ul>
  );
}

export default mountPanel(Workbench);
