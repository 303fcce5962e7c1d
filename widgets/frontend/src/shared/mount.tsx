/** From a panel's component to the module that a notebook loads. */

import { Component, type ComponentChildren, type ComponentType, type JSX, render } from "preact";
import { FaultCard, faultOf } from "./fault";
import { type HostModel, PanelModel } from "./model";
import { PanelContext } from "./scope";
import { watchTheme } from "./theme";
import { TooltipControl } from "./tooltip";
import type { Fault } from "./wire";

/** Shows an error card where drawing threw, and draws anew when the next picture or selection arrives. */
class Guard extends Component<
  { model: PanelModel<unknown>; children: ComponentChildren },
  { fault: Fault | null }
> {
  override state = { fault: null as Fault | null };

  override componentDidMount(): void {
    const { model } = this.props;
    const retry = (): void => {
      if (this.state.fault !== null) this.setState({ fault: null });
    };
    // Any new state may be one that can be drawn.
    for (const key of ["view", "status", "text"]) {
      const stop = (model as PanelModel<Record<string, unknown>>).trait(key).subscribe(retry);
      model.abort.addEventListener("abort", stop, { once: true });
    }
  }

  override componentDidCatch(error: unknown): void {
    this.setState({ fault: faultOf(error, "The panel could not be drawn.") });
  }

  override render(): ComponentChildren {
    const { fault } = this.state;
    if (fault === null) return this.props.children;
    return (
      <div class="explorer-panel" data-theme={this.props.model.dark.value ? "dark" : "light"}>
        <FaultCard fault={fault} />
      </div>
    );
  }
}

/** Every panel's script is loaded by itself, so views cannot count on from each other. */
function newPrefix(): string {
  return `explorer-${crypto.getRandomValues(new Uint32Array(2)).join("-")}-`;
}

/**
 * What the notebook calls once a view. The view ends when `signal` fires, or when the returned function is called by a
 * host that gives no signal.
 */
export interface PanelModule {
  render(context: { model: HostModel; el: HTMLElement; signal?: AbortSignal }): () => void;
}

/**
 * The default export of a panel's module.
 *
 * @example export default mountPanel(AttentionPanel);
 */
export function mountPanel(Content: ComponentType): PanelModule {
  return {
    render({ model: host, el, signal: hosts }) {
      const view = new AbortController();
      const end = (): void => view.abort();
      const { signal } = view;
      hosts?.addEventListener("abort", end, { once: true });
      const model = new PanelModel<unknown>(host, el, signal, watchTheme(el, signal));
      const scope = { model, tooltip: new TooltipControl(), prefix: newPrefix() };
      const root = (): JSX.Element => (
        <PanelContext.Provider value={scope}>
          <Guard model={model}>
            <Content />
          </Guard>
        </PanelContext.Provider>
      );
      render(root(), el);
      signal.addEventListener("abort", () => render(null, el), { once: true });
      return end;
    },
  };
}
