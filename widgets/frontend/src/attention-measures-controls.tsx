/** Which measure heads are sorted by, and which of them are kept. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { type Order, isOfProbe } from "./attention-ranked";
import { type CommonState, measureNames, measuresWords, useDomId, useModel, useWords } from "./shared";

export interface MeasureControlsProps {
  measures: readonly string[];
  order: Order;
  onOrder: (changes: Partial<Order>) => void;
}

export function MeasureControls({ measures, order, onOrder }: MeasureControlsProps): JSX.Element {
  const model = useModel<CommonState>();
  const words = useWords(measuresWords);
  const { names } = useWords(measureNames);
  const options = (probe: boolean): JSX.Element[] =>
    measures
      .filter((name) => isOfProbe(name) === probe)
      .map((name) => (
        <option key={name} value={name} selected={name === order.measure}>
          {names[name] ?? name}
        </option>
      ));
  const probes = options(true);
  return (
    <div class="explorer-measures-controls">
      <select
        class="explorer-select"
        aria-label={words.which}
        title={words.which}
        value={order.measure}
        onChange={(event) => onOrder({ measure: event.currentTarget.value })}
      >
        <optgroup label={words.here}>{options(false)}</optgroup>
        {probes.length > 0 && <optgroup label={words.probe}>{probes}</optgroup>}
      </select>
      <Field
        label={words.least}
        value={order.least}
        read={(text) => (Number.isFinite(Number(text)) ? Number(text) : undefined)}
        onChange={(least) => onOrder({ least })}
      />
      <Field
        label={words.count}
        value={order.count}
        read={(text) => (/^[1-9]\d*$/.test(text) ? Number(text) : undefined)}
        onChange={(count) => onOrder({ count })}
      />
      <button
        type="button"
        class="explorer-button"
        aria-pressed={order.ascending}
        onClick={() => onOrder({ ascending: !order.ascending })}
      >
        {order.ascending ? words.smallest : words.largest}
      </button>
      <button
        type="button"
        class="explorer-button"
        title={words.why}
        disabled={!model.connected.value}
        aria-pressed={order.thumbnails}
        onClick={() => onOrder({ thumbnails: !order.thumbnails })}
      >
        {words.thumbnails}
      </button>
    </div>
  );
}

interface FieldProps {
  label: string;
  value: number | null;
  /** The number that is meant; `undefined` where it is none that is allowed. */
  read: (text: string) => number | undefined;
  onChange: (value: number | null) => void;
}

/** A number, or nothing for "all"; what cannot be read is marked and changes nothing. */
function Field({ label, value, read, onChange }: FieldProps): JSX.Element {
  const typed = useSignal<string | null>(null);
  const id = useDomId();
  const meant = (text: string): number | null | undefined => (text.trim() === "" ? null : read(text.trim()));
  const take = (text: string): void => {
    const wanted = meant(text);
    if (wanted === undefined) return;
    typed.value = null;
    if (wanted !== value) onChange(wanted);
  };
  return (
    <label for={id}>
      {label}
      <input
        id={id}
        class="explorer-measures-field"
        inputMode="decimal"
        placeholder="–"
        value={typed.value ?? (value === null ? "" : String(value))}
        aria-invalid={typed.value !== null && meant(typed.value) === undefined}
        onInput={(event) => (typed.value = event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter") take(event.currentTarget.value);
          else if (event.key === "Escape") typed.value = null;
        }}
        onBlur={(event) => {
          take(event.currentTarget.value);
          typed.value = null;
        }}
      />
    </label>
  );
}
