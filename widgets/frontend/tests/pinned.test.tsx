import { afterEach, beforeEach, expect, it } from "vitest";
import attribution from "../src/attribution";
import sampling from "../src/sampling";
import { NEUTRAL, NextToken } from "../src/sampling-math";
import { layPinned, layRows, ROWS } from "../src/sampling-rows";
import { formatChange } from "../src/sampling-words";
import workbench from "../src/workbench";
import { FakeModel, common, settled, tokensOf, wired } from "./fake-model";

const VOCABULARY = 200;
const NOW = Float32Array.from({ length: VOCABULARY }, (_, id) => 6 - 2 * Math.log(1 + id));
/** The same with one token far ahead that is far behind now. */
const BEFORE = NOW.map((logit, id) => (id === 150 ? 9 : logit));
const NEVER = Float32Array.from([-Infinity, 1, 0]);

let view: AbortController;
let el: HTMLElement;

beforeEach(() => {
  view = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});
afterEach(() => {
  view.abort();
  el.remove();
});

function samplingView(logits: Float32Array, ...texts: string[]): Record<string, unknown> {
  const ids = Int32Array.from({ length: VOCABULARY }, (_, id) => id);
  return {
    request: 1,
    tokens: tokensOf(...texts),
    notes: [],
    prompt_ids: wired(Int32Array.of(0), [1]),
    logits: wired(logits, [logits.length]),
    label_ids: wired(ids, [VOCABULARY]),
    labels: Array.from(ids, (id) => ({ text: ` t${id}`, kind: "text" })),
  };
}

function attributionView(scores: number[], target: string, ...texts: string[]): Record<string, unknown> {
  const total = scores.reduce((sum, score) => sum + score, 0);
  return {
    request: 1,
    tokens: tokensOf(...texts),
    notes: [],
    next: [{ id: 5, text: target, kind: "text", group: 0, part: 1, parts: 1, probability: 0.5 }],
    target: { id: 5, text: target, kind: "text" },
    against: null,
    unavailable: "",
    results: {
      input_x_gradient: { scores, total, difference: 2, delta: null, steps: null, baseline: "" },
    },
  };
}

function pinned(pictures: Record<string, unknown>): Record<string, unknown> {
  const settings = { ...NEUTRAL, top_k: 5 };
  return { text: "a c", edits: ["Ablate('layers.5.attn.z')"], settings, tokens: tokensOf("a", " c"), pictures };
}

async function mount(panel: typeof sampling, state: Record<string, unknown>): Promise<FakeModel> {
  const model = new FakeModel({ ...common(), ...state });
  await panel.render({ model, el, signal: view.signal });
  await settled();
  return model;
}

const texts = (selector: string): string[] => [...el.querySelectorAll(selector)].map((one) => one.textContent ?? "");

it("tells the rank and the chance of any token", () => {
  const row = new NextToken(NOW, [0]).under({ ...NEUTRAL, top_k: 3, repetition_penalty: 1.5 });
  for (const id of [0, 1, 7, 199]) expect(row.id(row.rank(id))).toBe(id);
  const all = row.probabilities();
  for (const id of [0, 1, 2, 3, 50]) expect(row.chance(id)).toBeCloseTo(all[id]!, 6);
  expect(new NextToken(NEVER, []).under(NEUTRAL).chance(0)).toBe(0);
});

it.each([{}, { top_k: 2 }, { temperature: 0 }, { temperature: 1e9 }])(
  "shows as many pinned tokens under any settings, none of them twice: %j",
  (changed) => {
    const settings = { ...NEUTRAL, ...changed };
    const [now, before] = [new NextToken(NOW, []).under(settings), new NextToken(BEFORE, []).under(settings)];
    const rows = layRows(now, () => true);
    const gone = layPinned(rows, now, before);
    expect([rows.length, gone.length]).toEqual([ROWS, 3]);
    expect(gone[0]!.id).toBe(150);
    expect(gone[0]!.probability).toBe(now.probability(now.rank(150)));
    const ids = [...rows, ...gone].flatMap((row) => (row.kind === "token" ? [row.id] : []));
    expect(new Set(ids).size).toBe(ids.length);
  },
);

it("signs a change", () => {
  expect([0.25, -0.25, 0, -0.004].map(formatChange)).toEqual(["+0.250", "−0.250", "0", "−0.0040"]);
});

it("puts the pinned bars behind the live ones, and both follow the settings", async () => {
  const view_ = samplingView(NOW, "a", " b");
  const state = { view: view_, settings: { ...NEUTRAL }, pinned: pinned({ sampling: samplingView(BEFORE, "a", " c") }) };
  const model = await mount(sampling, state);
  const check = (settings: typeof NEUTRAL): void => {
    const [now, before] = [new NextToken(NOW, [0]).under(settings), new NextToken(BEFORE, [0]).under(settings)];
    const rows = [...el.querySelectorAll<HTMLElement>(".explorer-sampling-bar")];
    expect(rows.length).toBeGreaterThan(10);
    for (const row of rows) {
      const id = now.id(Number(row.dataset["rank"]));
      const ghost = row.querySelector<HTMLElement>(".explorer-sampling-ghost")!;
      expect(ghost.style.width).toBe(`${(100 * Math.sqrt(before.chance(id))).toFixed(2)}%`);
      const change = now.chance(id) - before.chance(id);
      expect(row.querySelector(".explorer-sampling-change")!.textContent).toBe(formatChange(change));
      const word = change > 0 ? "up by" : change < 0 ? "down by" : "unchanged";
      expect(row.getAttribute("aria-label")).toMatch(new RegExp(`pinned [0-9.e−]+, ${word}`));
    }
    expect(rows.map((row) => now.id(Number(row.dataset["rank"])))).toContain(150);
  };
  check(NEUTRAL);
  const settings = { ...NEUTRAL, temperature: 0.5, top_k: 4 };
  model.arrive("settings", settings);
  await new Promise((done) => requestAnimationFrame(done));
  await settled();
  check(settings);
  expect([model.saves, model.sent]).toEqual([[], []]);
  model.arrive("pinned", null);
  await settled();
  expect(el.querySelector(".explorer-sampling-ghost, .explorer-sampling-change, .is-gone")).toBeNull();
});

it("puts the pinned scores under the live ones in the same colours, with the change where a token stayed", async () => {
  const now = attributionView([1, -2], " now", "a", " b");
  const before = attributionView([4, 0.5], " before", "a", " c");
  (before["tokens"] as { id: number }[])[1]!.id = 999;
  await mount(attribution, { view: now, method: "input_x_gradient", pinned: pinned({ attribution: before }) });
  expect(texts(".explorer-attribution-pinned .explorer-chip")).toEqual(["a", " c"]);
  expect(texts(".explorer-attribution-pinned > p")).toEqual(["pinned Why  before"]);
  expect(texts(".explorer-legend").join()).toContain("+4.00 for");
  const live = [...el.querySelectorAll("[aria-label='Tokens of the prompt with their scores'] .explorer-chip")];
  const labels = live.map((chip) => chip.getAttribute("aria-label"));
  expect(labels[0]).toContain("+1.00, pinned +4.00, change −3.00");
  expect(labels[1]).toMatch(/−2\.00$/);
});

it("says that a method was not ready when it was pinned", async () => {
  const results = attributionView([1, 2], " now", "a", " b")["results"] as Record<string, unknown>;
  const now = { ...attributionView([1, 2], " now", "a", " b"), results: { integrated_gradients: results["input_x_gradient"] } };
  const before = attributionView([1, 2], " before", "a", " c");
  await mount(attribution, { view: now, method: "integrated_gradients", pinned: pinned({ attribution: before }) });
  expect(texts(".explorer-attribution-pinned").join()).toContain("integrated gradients: not ready when this was pinned");
});

it("leaves the live picture alone where the pinned one cannot be read", async () => {
  const state = { view: samplingView(NOW, "a"), settings: { ...NEUTRAL }, pinned: pinned({ sampling: { tokens: 7 } }) };
  await mount(sampling, state);
  expect(el.querySelectorAll(".explorer-sampling-bar").length).toBeGreaterThan(10);
  expect(el.querySelector(".explorer-fault, .explorer-sampling-ghost")).toBeNull();
});

it("pins, shows what is pinned in words, and lets go of it", async () => {
  const model = await mount(workbench, { view: { request: 1, tokens: tokensOf("a", " b"), notes: [] }, panels: [] });
  const button = (name: string): HTMLButtonElement =>
    [...el.querySelectorAll("button")].find((one) => one.textContent === name)!;
  button("Pin").click();
  expect(model.sent).toEqual([{ type: "pin" }]);
  model.arrive("pinned", pinned({}));
  await settled();
  const strip = el.querySelector(".explorer-pinned")!;
  expect(strip.getAttribute("aria-label")).toBe("Pinned");
  expect(texts(".explorer-pinned .explorer-chip")).toEqual(["a", " c"]);
  expect(texts(".explorer-pinned > code")).toEqual(["Ablate('layers.5.attn.z')"]);
  expect(strip.textContent).toContain("top-k 5");
  button("Unpin").click();
  expect(model.sent.at(-1)).toEqual({ type: "unpin" });
});

it("undoes and redoes by keys pressed anywhere in the workbench but in a text field", async () => {
  const model = await mount(workbench, { view: { request: 1, tokens: tokensOf("a", " b"), notes: [] }, panels: [] });
  const press = (target: Element, shiftKey: boolean): void => {
    const event = { key: "z", ctrlKey: true, shiftKey, bubbles: true, cancelable: true };
    target.dispatchEvent(new KeyboardEvent("keydown", event));
  };
  press(el.querySelector("[data-index]")!, false);
  press(el.querySelector("[data-index]")!, true);
  press(el.querySelector("textarea")!, false);
  expect(model.sent).toEqual([{ type: "undo" }, { type: "redo" }]);
});
