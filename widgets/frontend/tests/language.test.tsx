import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import attribution from "../src/attribution";
import sampling from "../src/sampling";
import { NEUTRAL } from "../src/sampling-math";
import { type CommonState, Legend, Panel, mountPanel } from "../src/shared";
import workbench from "../src/workbench";
import { FakeModel, common, settled, token, tokensOf, wired } from "./fake-model";

let view = new AbortController();
let el: HTMLElement;

beforeEach(() => {
  view = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  view.abort();
  document.body.replaceChildren();
});

async function shown(changes: Partial<CommonState>): Promise<FakeModel> {
  const Bare = () => (
    <Panel name="bare" title="Test" tokens={tokensOf("a", " b")} ready legend={<Legend table="weight" low="0" high="1" />}>
      picture
    </Panel>
  );
  const model = new FakeModel({ ...common({ status: { state: "live", ms: 61 }, ...changes }) });
  mountPanel(Bare).render({ model, el, signal: view.signal });
  await settled();
  return model;
}

const root = (): Element => el.firstElementChild!;
const status = (): string | null | undefined => el.querySelector(".explorer-status")?.textContent;
const names = (selector: string): (string | null)[] =>
  [...el.querySelectorAll(selector)].map((part) => part.getAttribute("aria-label"));

it("speaks the browser's language, and the trait's where there is one, from one moment to the next", async () => {
  const model = await shown({});
  expect([root().getAttribute("lang"), status(), names(".explorer-chip")]).toEqual([
    "en",
    "live · 61 ms",
    ["token 0, “a”", "token 1, “ b”"],
  ]);
  model.arrive("language", "zh");
  await settled();
  expect([root().getAttribute("lang"), status(), names(".explorer-chip")]).toEqual([
    "zh-Hans",
    "实时 · 61 ms",
    ["词元 0，“a”", "词元 1，“ b”"],
  ]);
  expect(names(".explorer-legend")).toEqual(["颜色范围：0 到 1"]);
  expect(el.querySelector("textarea")?.placeholder).toBe("输入提示词");
  model.arrive("language", "");
  await settled();
  expect(status()).toBe("live · 61 ms");
});

it("is Chinese in a Chinese browser, and English there where that is wanted", async () => {
  vi.spyOn(navigator, "language", "get").mockReturnValue("zh-CN");
  const model = await shown({});
  expect(status()).toBe("实时 · 61 ms");
  model.arrive("language", "en");
  await settled();
  expect(status()).toBe("live · 61 ms");
});

it("words anew what stands there already", async () => {
  const model = await shown({});
  const field = el.querySelector("textarea")!;
  field.value = "a\ud83e";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  model.arrive("language", "zh");
  await settled();
  expect(el.querySelector(".explorer-warning")?.textContent).toContain("不成对");
});

/** Everything that can be read or heard, but for tokens and code, which are in no language of ours. */
function read(root: Element): string {
  const copy = root.cloneNode(true) as Element;
  for (const foreign of copy.querySelectorAll("bdi, code, pre, kbd, .explorer-subtitle, .explorer-tokens")) foreign.remove();
  const heard = [...root.querySelectorAll("*"), root].flatMap((part) =>
    ["aria-label", "aria-valuetext", "title", "placeholder"].map((name) => part.getAttribute(name) ?? ""),
  );
  return [copy.textContent, ...heard].join("\n");
}

/** Latin words in it, but for names and signs that Chinese texts use as well. */
function latin(root: Element): string[] {
  const named = /“[^”]*”|top-[kp]|min-p|logit|Enter|\bid\b|\bms\b|[0-9]+e[0-9]+/g;
  return read(root).replace(named, "").match(/[A-Za-z]{2,}/g) ?? [];
}

/** Words that stand in the page in any language: an edit's own Python in its button's name, an error's own words. */
const PLAIN = new Set("Ablate layers attn Error The page gives no other widgets".split(" "));

const NOTES = [
  { key: "against_is_likeliest" as const, about: {}, text: "The token to compare with is now the likeliest itself." },
];
const about = {};

function samplingTraits(): Record<string, unknown> {
  const logits = Float32Array.from({ length: 300 }, (_, id) => (id === 299 ? -Infinity : 8 - 2 * Math.log(1 + id)));
  const steps = [{ ...token(" sea"), probability: 0.25, alternatives: [] }];
  return {
    ...common({ about, text: "a b" }),
    view: {
      request: 1,
      tokens: tokensOf("a", " b"),
      notes: NOTES,
      prompt_ids: wired(Int32Array.of(0, 5), [2]),
      logits: wired(logits, [300]),
      label_ids: wired(Int32Array.from({ length: 40 }, (_, id) => id), [40]),
      labels: Array.from({ length: 40 }, (_, id) => ({ text: ` t${id}`, kind: "text" })),
    },
    settings: { ...NEUTRAL, temperature: 0.8, top_p: 0.9, top_k: 50, min_p: 0.01, seed: 7 },
    generated: {
      run: 1,
      state: "done",
      ended: { key: "end_of_sequence", about: {}, text: "end of sequence" },
      steps,
      settings: { temperature: 0.8, seed: 7 },
    },
  };
}

function attributionTraits(): Record<string, unknown> {
  const next = [" Mary", " the", " John"].map((text, id) => ({ id, text, kind: "text", probability: 0.5 ** (id + 1) }));
  const baseline = { key: "baseline", about: { kind: "mean", held: true }, text: "mean embedding, first token held" };
  const scores = [0.2, 0.3];
  return {
    ...common({ about, text: "a b", status: { state: "working", progress: 0.5, progress_note: "" } }),
    view: {
      request: 1,
      tokens: tokensOf("a", " b"),
      notes: NOTES,
      next,
      target: next[0],
      against: next[2],
      unavailable: "",
      results: {
        integrated_gradients: { scores, total: 0.5, difference: 4.9, delta: -2.5, steps: 200, baseline },
      },
    },
    target: 0,
    against: 2,
    target_text: "",
    target_error: "",
    method: "input_x_gradient",
  };
}

function workbenchTraits(): Record<string, unknown> {
  const edits = [{ number: 0, label: "Ablate('layers.5.attn.z')", edit: null }];
  const shown = { request: 1, tokens: tokensOf("a", " b"), notes: NOTES };
  return { ...common({ about, text: "a b", view: shown, edits }), panels: ["anywidget:none"] };
}

describe.each([
  ["sampling", sampling, samplingTraits],
  ["attribution", attribution, attributionTraits],
  ["workbench", workbench, workbenchTraits],
])("the panel of %s", (_name, panel, traits) => {
  it("says all of it in Chinese, and all of it in English again", async () => {
    const model = new FakeModel(traits());
    panel.render({ model, el, signal: view.signal });
    await settled();
    el.querySelector<HTMLElement>(".explorer-help")!.click();
    await settled();
    const english = read(el);
    expect(english).not.toMatch(/\p{Script=Han}/u);
    model.arrive("language", "zh");
    await settled();
    expect(latin(el).filter((word) => !PLAIN.has(word))).toEqual([]);
    model.arrive("language", "en");
    await settled();
    expect(read(el)).toBe(english);
  });
});
