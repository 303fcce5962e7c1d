/** From a panel's component to the module that a notebook loads. */

import { Component, type ComponentChildren, type ComponentType, render } from "preact";
import { type Host, explorationOf } from "./exploration";
import { FaultCard, faultOf } from "./fault";
import { type HostModel, PanelModel } from "./model";
import { PanelContext } from "./scope";
import { watchTheme } from "./theme";
import { TooltipControl } from "./tooltip";
import { sharedWords, wordsOf } from "./words";

/** Shows an error card where drawing threw, and draws anew when the next picture or selection arrives. */
class Guard extends Component<
  { model: PanelModel<unknown>; children: ComponentChildren },
  { error: unknown }
> {
  override state = { error: null as unknown };

  override componentDidMount(): void {
    const { model } = this.props;
    const retry = (): void => {
      if (this.state.error !== null) this.setState({ error: null });
    };
    // Any new state may be one that can be drawn.
    for (const key of ["view", "status", "text"]) {
      const stop = (model as PanelModel<Record<string, unknown>>).trait(key).subscribe(retry);
      model.abort.addEventListener("abort", stop, { once: true });
    }
  }

  override componentDidCatch(error: unknown): void {
    this.setState({ error: error ?? new Error("undefined was thrown.") });
  }

  override render(): ComponentChildren {
    const { model } = this.props;
    const { error } = this.state;
    if (error === null) return this.props.children;
    const words = wordsOf(model, sharedWords);
    return (
      <div class="explorer-panel" data-theme={model.dark.value ? "dark" : "light"} lang={words.language}>
        <FaultCard fault={faultOf(error, words.notDrawn)} />
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
  render(context: {
    model: HostModel;
    el: HTMLElement;
    signal?: AbortSignal;
    host?: Host;
  }): (() => void) | Promise<() => void>;
}

/**
 * The default export of a panel's module.
 *
 * @example export default mountPanel(AttentionPanel);
 */
export function mountPanel(Content: ComponentType): PanelModule {
  return {
    render({ model: own, el, signal: hosts, host }) {
      const view = new AbortController();
      const end = (): void => view.abort();
      const { signal } = view;
      hosts?.addEventListener("abort", end, { once: true });
      const draw = (shared: HostModel | null): void => {
        if (signal.aborted) return; // the view went while the exploration was looked up
        const model = new PanelModel<unknown>(own, el, signal, watchTheme(el, signal), shared);
        const scope = { model, host: host ?? null, tooltip: new TooltipControl(), prefix: newPrefix() };
        render(
          <PanelContext.Provider value={scope}>
            <Guard model={model}>
              <Content />
            </Guard>
          </PanelContext.Provider>,
          el,
        );
        signal.addEventListener("abort", () => render(null, el), { once: true });
      };
      if (typeof host?.getModel !== "function") {
        draw(null);
        return end;
      }
      return explorationOf(own, host).then((shared) => {
        draw(shared);
        return end;
      });
    },
  };
}
