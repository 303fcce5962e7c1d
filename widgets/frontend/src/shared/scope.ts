/** What every part of one panel can reach, without passing it down by hand. */

import { createContext } from "preact";
import { useContext, useId } from "preact/hooks";
import type { Host } from "./exploration";
import type { PanelModel } from "./model";
import type { TooltipControl } from "./tooltip";

export interface PanelScope {
  model: PanelModel<unknown>;
  /** What gives other widgets of the page; `null` where the page cannot. */
  host: Host | null;
  tooltip: TooltipControl;
  /** Begins every id of this view. */
  prefix: string;
}

export const PanelContext = createContext<PanelScope | null>(null);

export function useScope(): PanelScope {
  const scope = useContext(PanelContext);
  if (scope === null) throw new Error("This part stands outside a panel; mountPanel gives it one.");
  return scope;
}

/** The panel's model: its traits as signals, `write`, `send`, `abort` and `dark`. `S` names the traits. */
export function useModel<S>(): PanelModel<S> {
  return useScope().model as PanelModel<S>;
}

/** The panel's tooltip. */
export function useTooltip(): TooltipControl {
  return useScope().tooltip;
}

/** An id that nothing else in the document has: `useId` counts anew in every view, and a page holds many. */
export function useDomId(): string {
  const { prefix } = useScope();
  return `${prefix}${useId()}`;
}
