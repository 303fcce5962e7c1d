/**
 * The host of a saved page: it gives the panels the models and widgets that a notebook would, from what the page holds.
 * Nothing is sent anywhere; the page's own policy forbids it too.
 */

import { type SavedPage } from "./shared/connection";
import type { Host } from "./shared/exploration";
import type { HostModel } from "./shared/model";
import type { PanelModule } from "./shared/mount";
import { type Language, type Words, languageOf, pageWords } from "./shared/words";

/** Where bytes lie in the page's one buffer. */
type Span = [offset: number, length: number];

interface SavedModel {
  state: Record<string, unknown>;
  /** The arrays of `state`: at `path` belongs a view on `span`. */
  buffers: { path: (string | number)[]; span: Span }[];
  /** Index of its script; `null` of what has no view. */
  module: number | null;
}

/** What Python put into the page; see widgets/snapshot.py. */
interface Page {
  root: string;
  language: "" | Language;
  saved: SavedPage;
  facts: [key: string, value: string][];
  models: Record<string, SavedModel>;
  modules: Span[];
}

type Callback = (...values: never[]) => void;

const REFERENCE = "anywidget:";

/** A model without a kernel: what is set is told to every view of the page, and goes no further. */
export class PageModel implements HostModel {
  readonly #listeners = new Map<string, Set<Callback>>();

  constructor(
    readonly state: Record<string, unknown>,
    readonly saved: SavedPage,
  ) {}

  get(key: string): unknown {
    return this.state[key];
  }

  set(key: string, value: unknown): void {
    if (Object.is(this.state[key], value)) return;
    this.state[key] = value;
    for (const callback of [...(this.#listeners.get(`change:${key}`) ?? [])]) (callback as () => void)();
  }

  save_changes(): void {}

  send(): void {}

  on(event: string, callback: Callback): void {
    this.#listeners.set(event, (this.#listeners.get(event) ?? new Set()).add(callback));
  }

  off(event: string, callback: Callback): void {
    this.#listeners.get(event)?.delete(callback);
  }
}

/** The bytes behind gzip and base64. */
export async function inflated(base64: string): Promise<Uint8Array<ArrayBuffer>> {
  const packed = Uint8Array.from(atob(base64.trim()), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The models of a page, each with its arrays put back where they belong. */
export function modelsOf(page: Page, bytes: Uint8Array<ArrayBuffer>): Map<string, PageModel> {
  const models = new Map<string, PageModel>();
  for (const [id, { state, buffers }] of Object.entries(page.models)) {
    for (const { path, span } of buffers) {
      const steps = [...path];
      const last = steps.pop()!;
      const home = steps.reduce((inside, step) => inside[step] as Record<string, unknown>, state as Record<string | number, unknown>);
      home[last] = new DataView(bytes.buffer, bytes.byteOffset + span[0], span[1]);
    }
    models.set(id, new PageModel(state, page.saved));
  }
  return models;
}

/** What panels ask of their host. */
export function hostOf(page: Page, models: ReadonlyMap<string, PageModel>, load: (module: number) => Promise<PanelModule>): Host {
  const find = (reference: string): string => {
    const id = reference.startsWith(REFERENCE) ? reference.slice(REFERENCE.length) : "";
    if (!models.has(id)) throw new Error(`${reference} is not in this page.`);
    return id;
  };
  const host: Host = {
    getModel: async (reference) => models.get(find(reference))!,
    getWidget: async (reference) => {
      const id = find(reference);
      const module = page.models[id]!.module;
      if (module === null) throw new Error(`${reference} has no view.`);
      const panel = await load(module);
      return { render: ({ el, signal }) => panel.render({ model: models.get(id)!, el, signal, host }) };
    },
  };
  return host;
}

function loader(page: Page, bytes: Uint8Array<ArrayBuffer>): (module: number) => Promise<PanelModule> {
  const loaded = new Map<number, Promise<PanelModule>>();
  return (module) => {
    let known = loaded.get(module);
    if (known === undefined) {
      const [offset, length] = page.modules[module]!;
      const address = URL.createObjectURL(new Blob([bytes.subarray(offset, offset + length)], { type: "text/javascript" }));
      known = import(address).then(({ default: panel }: { default: PanelModule }) => panel);
      known.finally(() => URL.revokeObjectURL(address)).catch(() => {});
      loaded.set(module, known);
    }
    return known;
  };
}

/** What made the page, below the panels. */
function colophon(page: Page, words: Words<typeof pageWords>): HTMLElement {
  const element = (name: string, text: string, ...inside: HTMLElement[]): HTMLElement => {
    const made = document.createElement(name);
    made.textContent = text;
    made.append(...inside);
    return made;
  };
  const facts = page.facts.map(([key, value]) => element("div", "", element("dt", words.facts[key] ?? key), element("dd", value)));
  const footer = element("footer", "");
  footer.append(
    element("p", `${page.saved.model} · ${words.saved(page.saved.date)}. ${words.limits}`),
    element("details", "", element("summary", words.made), element("dl", "", ...facts)),
  );
  return footer;
}

async function show(): Promise<void> {
  const text = (id: string): string => document.getElementById(id)?.textContent ?? "";
  const place = document.querySelector("main")!;
  const page = JSON.parse(text("explorer-page")) as Page;
  const language = languageOf(page.language, navigator.language);
  const words = pageWords[language];
  document.documentElement.lang = language === "zh" ? "zh-Hans" : "en";
  place.after(colophon(page, words));
  if (typeof DecompressionStream === "undefined") {
    place.textContent = words.tooOld;
    return;
  }
  try {
    const bytes = await inflated(text("explorer-bytes"));
    const host = hostOf(page, modelsOf(page, bytes), loader(page, bytes));
    const root = await host.getWidget(REFERENCE + page.root);
    await root.render({ el: place, signal: new AbortController().signal });
  } catch (error) {
    place.textContent = `${words.broken} ${error instanceof Error ? error.message : String(error)}`;
  }
}

if (document.getElementById("explorer-page") !== null) void show();
