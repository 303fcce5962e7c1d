/** A place where another widget draws itself. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { FaultCard, faultOf } from "./fault";
import { useScope } from "./scope";

export interface SlotProps {
  /** The widget, as a trait refers to it. */
  reference: string;
  /** What is said where it cannot be drawn. */
  failed: string;
}

export function Slot({ reference, failed }: SlotProps): JSX.Element {
  const { model, host } = useScope();
  const place = useRef<HTMLDivElement>(null);
  const fault = useSignal<{ error: unknown } | null>(null);
  useEffect(() => {
    const view = new AbortController();
    const end = (): void => view.abort();
    model.abort.addEventListener("abort", end, { once: true });
    const draw = async (): Promise<void> => {
      if (host === null || place.current === null) throw new Error("The page gives no other widgets.");
      const widget = await host.getWidget(reference);
      if (!view.signal.aborted) await widget.render({ el: place.current, signal: view.signal });
    };
    draw().catch((error: unknown) => {
      fault.value = { error };
    });
    return () => {
      end();
      model.abort.removeEventListener("abort", end);
    };
  }, [reference, model, host]);
  return (
    <div class="explorer-slot">
      <div ref={place} />
      {fault.value !== null && <FaultCard fault={faultOf(fault.value.error, failed)} />}
    </div>
  );
}
