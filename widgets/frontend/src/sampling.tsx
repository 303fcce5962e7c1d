// SamplingPanel: what the model would say next, and how the sampling settings change that. The bars follow a slider
// from the logits row in `view`, without the kernel; only generating asks it.

import { useComputed } from "@preact/signals";
import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { Chart } from "./sampling-chart";
import { Knobs } from "./sampling-knobs";
import { LiveSettings } from "./sampling-live";
import type { Distribution, Settings } from "./sampling-math";
import { Bench, Generation } from "./sampling-output";
import { readSamplingView, type SamplingPicture, type State } from "./sampling-picture";
import { Stream } from "./sampling-stream";
import { ProbabilityTable } from "./sampling-table";
import { mountPanel, Panel, samplingWords, useModel, usePicture, usePinned, useWords } from "./shared";

const LONGEST = 1000; // as SamplingPanel.generate in Python

function SamplingPanel(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(samplingWords);
  const read = usePicture(readSamplingView);
  const live = useMemo(
    () => new LiveSettings(model.trait("settings"), (settings) => model.write({ settings }), model.abort),
    [model],
  );
  const stream = useMemo(() => {
    const [generated, status, text] = [model.trait("generated"), model.trait("status"), model.trait("text")];
    return new Stream(model, { generated, status, text });
  }, [model]);
  const under = useComputed(() => tryUnder(read.value.picture, live.shown.value));
  const good = useRef<Distribution | null>(null);
  const { picture, fault } = read.value;
  const kept = usePinned("sampling", readSamplingView);
  const before = useComputed(() => tryUnder(kept.value, live.shown.value).distribution).value;
  const labels = useComputed(() => named(read.value.picture, kept.value)).value;
  // Settings that no distribution can follow leave the last bars standing.
  good.current = under.value.distribution ?? (picture === null ? null : good.current);
  const now = good.current;
  const { name, context } = model.trait("about").value ?? {};
  const continued = picture?.decoder ?? picture?.tokens ?? [];
  const active = continued.length > 0 ? continued.length - 1 : null;
  const strip = useMemo(() => ({ active }), [active]);

  return (
    <Panel
      name="sampling"
      title={words.title}
      subtitle={name}
      tokens={picture?.tokens ?? []}
      {...(picture?.decoder ? { decoder: { tokens: continued, strip } } : { strip })}
      ready={picture !== null}
      fault={fault}
      keys={words.keys}
    >
      {picture !== null && now !== null && (
        <>
          <div class={`explorer-sampling-columns ${before === null ? "" : "is-compared"}`}>
            <div>
              <p class="explorer-sampling-facts">
                <span>{words.possible(now.kept, now.size)}</span>
                <span>{words.entropy(now.entropy.toFixed(2))}</span>
              </p>
              <Chart distribution={now} settings={live.shown.value} labels={labels} pinned={before} />
              <ProbabilityTable distribution={now} settings={live.shown.value} labels={labels} pinned={before} />
            </div>
            <div>
              <Knobs live={live} vocabulary={now.size} refused={under.value.tooFar === null ? "" : words.penaltyTooFar(under.value.tooFar)} />
              <Bench live={live} stream={stream} room={roomFor(continued.length, context)} />
            </div>
          </div>
          <Generation stream={stream} prompt={continued} />
        </>
      )}
    </Panel>
  );
}

function named(picture: SamplingPicture | null, pinned: SamplingPicture | null): SamplingPicture["labels"] {
  const own = picture?.labels ?? new Map();
  return pinned === null ? own : new Map([...pinned.labels, ...own]);
}

/** `tooFar` is a repetition penalty that no distribution can follow. */
function tryUnder(
  picture: SamplingPicture | null,
  settings: Settings,
): { distribution: Distribution | null; tooFar: number | null } {
  try {
    return { distribution: picture?.next.under(settings) ?? null, tooFar: null };
  } catch (error) {
    if (error instanceof RangeError) return { distribution: null, tooFar: settings.repetition_penalty };
    throw error;
  }
}

/** How many tokens may be asked for: what the context has room for, as far as that is known. */
function roomFor(length: number, context: number | undefined): number {
  const free = typeof context === "number" && context > 0 ? context - length : LONGEST;
  return Math.max(0, Math.min(LONGEST, free));
}

export default mountPanel(SamplingPanel);
