import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import panel from "../src/sampling";
import { SAVE_EVERY } from "../src/sampling-live";
import { NEUTRAL, type Settings } from "../src/sampling-math";
import type { Step } from "../src/sampling-stream";
import { FakeModel, common, token, tokensOf, wired } from "./fake-model";

const HOSTILE = "</script><img src=x onerror=alert(1)>";
const VOCABULARY = 300;
const FRAME = 20;

/** A falling row; the likeliest tokens are " t0", " t1", ... and one has a hostile name. */
function traits(changes: Record<string, unknown> = {}): Record<string, unknown> {
  const logits = Float32Array.from({ length: VOCABULARY }, (_, id) => 8 - 2 * Math.log(1 + id));
  const ids = Int32Array.from({ length: 40 }, (_, id) => id);
  return {
    ...common({ title: "Next token", text: "a b" }),
    view: {
      request: 1,
      tokens: tokensOf("a", " b"),
      notes: [],
      prompt_ids: wired(Int32Array.of(0, 5), [2]),
      logits: wired(logits, [VOCABULARY]),
      label_ids: wired(ids, [40]),
      labels: Array.from(ids, (id) => ({ text: id === 2 ? HOSTILE : ` t${id}`, kind: "text" })),
    },
    settings: { ...NEUTRAL },
    generated: { run: 0, state: "none", ended: "", steps: [], settings: {} },
    ...changes,
  };
}

function step(text: string, more: Partial<Step> = {}): Step {
  const alternatives = [
    { id: 1, text: " other", kind: "text" as const, probability: 0.5 },
    { id: 7, text, kind: "text" as const, probability: 0.25 },
  ];
  return { ...token(text), probability: 0.25, alternatives, ...more };
}

let view: AbortController;
let el: HTMLElement;

/** Lets frames and effects run, and no save. */
const frame = async (): Promise<void> => {
  await vi.advanceTimersByTimeAsync(FRAME);
};

async function mount(state: Record<string, unknown> = traits()): Promise<FakeModel> {
  const model = new FakeModel(state);
  panel.render({ model, el, signal: view.signal });
  await frame();
  return model;
}

const all = <E extends HTMLElement>(selector: string): E[] => [...el.querySelectorAll<E>(selector)];
const one = <E extends HTMLElement>(selector: string): E => {
  const found = el.querySelector<E>(selector);
  if (found === null) throw new Error(`There is no ${selector}.`);
  return found;
};
const button = (name: string): HTMLButtonElement => {
  const found = all<HTMLButtonElement>("button").find((b) => b.textContent === name);
  if (found === undefined) throw new Error(`There is no button called ${name}.`);
  return found;
};
const slider = (name: string): HTMLInputElement => {
  const label = all<HTMLLabelElement>("label").find((l) => l.textContent === name);
  return one<HTMLInputElement>(`[id="${label?.htmlFor}"]`);
};
const number = (name: string): HTMLInputElement =>
  all<HTMLInputElement>("input[type=text]").find((i) => i.getAttribute("aria-label") === `${name}, typed`) ?? slider(name);
const bars = (): string[] => all(".explorer-sampling-bar .explorer-sampling-value").map((cell) => cell.textContent ?? "");
const grey = (): number => all(".explorer-sampling-bar.is-cut").length;
const lines = (): string[] => all(".explorer-sampling-line").map((line) => line.textContent ?? "");

function drag(input: HTMLInputElement, position: number): void {
  input.value = String(position);
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

async function type(input: HTMLInputElement, text: string, key = "Enter"): Promise<void> {
  input.focus();
  await frame();
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  await frame();
}

beforeEach(() => {
  vi.useFakeTimers();
  view = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  view.abort();
  document.body.replaceChildren();
  vi.useRealTimers();
});

describe("the bars", () => {
  it("show the distribution of the row", async () => {
    await mount();
    const total = Array.from({ length: VOCABULARY }, (_, id) => (1 + id) ** -2).reduce((sum, w) => sum + w, 0);
    expect(bars()[0]).toBe((1 / total).toFixed(3));
    expect(bars()[1]).toBe((0.25 / total).toFixed(3));
    expect(el.textContent).toContain("300 of 300 tokens possible");
    expect(el.textContent).toMatch(/entropy \d\.\d\d bits/);
  });

  it("show what a filter cut, in grey, under a line that says how much", async () => {
    await mount(traits({ settings: { ...NEUTRAL, top_p: 0.5 } }));
    expect(lines()[0]).toMatch(/^cut by top-p 0\.50 · \d+\.\d % of the mass, 299 tokens$/);
    expect(bars()[0]).toBe("1.000");
    expect(grey()).toBeGreaterThan(5);
  });

  it("can be walked with the arrows, and say what they are", async () => {
    await mount();
    const rows = all(".explorer-sampling-bar");
    expect(rows.filter((row) => row.tabIndex === 0)).toHaveLength(1);
    rows[0]!.focus();
    rows[0]!.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true, cancelable: true }));
    await frame();
    expect(document.activeElement).toBe(rows[1]);
    expect(one("[role=tooltip]").textContent).toContain("rank 2 · id 1");
    expect(rows[1]!.getAttribute("aria-label")).toMatch(/“ t1”, probability 0\.\d+/);
  });

  it("keep hostile token text text", async () => {
    await mount(traits({ generated: { run: 1, state: "done", ended: "1 token", steps: [step(HOSTILE)], settings: {} } }));
    expect(el.querySelector("img, script")).toBeNull();
    expect(all(".explorer-sampling-label")[2]!.textContent).toBe(HOSTILE);
  });
});

describe("a slider", () => {
  it("moves the bars within a frame, tells Python later and once, and asks the kernel nothing", async () => {
    const model = await mount();
    const before = bars()[0]!;
    for (const position of [90, 70, 50, 30]) drag(slider("temperature"), position);
    await frame();
    expect(Number(bars()[0])).toBeGreaterThan(Number(before));
    expect(number("temperature").value).toBe("0.30");
    expect(model.saves).toEqual([]);
    await vi.advanceTimersByTimeAsync(SAVE_EVERY);
    expect(model.saves).toEqual([{ settings: { ...NEUTRAL, temperature: 0.3 } }]);
    await vi.advanceTimersByTimeAsync(10 * SAVE_EVERY);
    expect(model.saves).toHaveLength(1);
    expect(model.sent).toEqual([]);
  });

  it("computes once a frame, however often it moves", async () => {
    await mount();
    const frames = vi.spyOn(globalThis, "requestAnimationFrame");
    for (let position = 100; position > 60; position--) drag(slider("temperature"), position);
    expect(frames).toHaveBeenCalledTimes(1);
  });

  it("is moved by Python", async () => {
    const model = await mount();
    model.arrive("settings", { ...NEUTRAL, temperature: 1.5, top_k: 3 } satisfies Settings);
    await frame();
    expect(slider("temperature").value).toBe("150");
    expect(slider("top-k").getAttribute("aria-valuetext")).toBe("3");
    expect(lines()[0]).toContain("cut by top-k 3");
    expect(model.saves).toEqual([]);
  });

  it("does not jump back to what Python repeats while it is being moved", async () => {
    const model = await mount();
    drag(slider("temperature"), 40);
    await frame();
    model.arrive("settings", { ...NEUTRAL, temperature: 0.9 });
    await frame();
    expect(number("temperature").value).toBe("0.40");
    await vi.advanceTimersByTimeAsync(SAVE_EVERY);
    expect(model.saves.at(-1)).toEqual({ settings: { ...NEUTRAL, temperature: 0.4 } });
  });

  it("goes back with Reset, and the seed stays", async () => {
    const model = await mount(traits({ settings: { ...NEUTRAL, temperature: 0.5, min_p: 0.1, seed: 7 } }));
    button("Reset").click();
    await vi.advanceTimersByTimeAsync(SAVE_EVERY);
    expect(model.saves).toEqual([{ settings: { ...NEUTRAL, seed: 7 } }]);
    expect(button("Reset").disabled).toBe(true);
  });
});

describe("a typed number", () => {
  it("is taken on Enter, also beyond the slider's end", async () => {
    const model = await mount();
    await type(number("temperature"), "1e9");
    await vi.advanceTimersByTimeAsync(SAVE_EVERY);
    expect(model.saves).toEqual([{ settings: { ...NEUTRAL, temperature: 1e9 } }]);
    expect(slider("temperature").value).toBe("200");
    expect(bars()[0]).toBe((1 / VOCABULARY).toFixed(4));
  });

  it("that is not allowed is answered by a sentence, and the last good value stays", async () => {
    const model = await mount(traits({ settings: { ...NEUTRAL, top_p: 0.9 } }));
    await type(number("top-p"), "7");
    expect(one("[role=alert]").textContent).toBe("top-p must be a number from 0 to 1 (1 = off); “7” is not.");
    expect(number("top-p").getAttribute("aria-invalid")).toBe("true");
    expect(lines()[0]).toContain("cut by top-p 0.90");
    await vi.advanceTimersByTimeAsync(SAVE_EVERY);
    expect(model.saves).toEqual([]);
    await type(number("top-p"), "7", "Escape");
    expect(el.querySelector("[role=alert]")).toBeNull();
    expect(number("top-p").getAttribute("aria-invalid")).toBe("false");
  });

  it("0 means greedy, and top-p 0 only the likeliest", async () => {
    await mount();
    await type(number("temperature"), "0");
    expect(lines()[0]).toContain("cut by temperature 0: greedy");
    expect(el.textContent).toContain("1 of 300 tokens possible");
    await type(number("temperature"), "1");
    await type(number("top-p"), "0");
    expect(el.textContent).toContain("1 of 300 tokens possible");
  });

  it("steps with the arrows", async () => {
    await mount();
    const field = number("top-k");
    field.focus();
    for (let times = 0; times < 3; times++) {
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", bubbles: true, cancelable: true }));
    }
    await frame();
    expect(lines()[0]).toContain("cut by top-k 3");
  });

  it("that no distribution can follow leaves the bars and says so", async () => {
    await mount();
    const before = bars();
    await type(number("repetition"), "1e-39");
    expect(one("[role=alert]").textContent).toContain("choose a value nearer to 1");
    expect(bars()).toEqual(before);
  });
});

describe("generating", () => {
  it("asks with the newest settings, saved first", async () => {
    const model = await mount();
    drag(slider("temperature"), 50);
    await type(number("at most"), "12");
    await type(number("seed"), "7");
    button("Generate").click();
    await frame();
    const settings = { ...NEUTRAL, temperature: 0.5, seed: 7 };
    expect(model.saves.at(-1)).toEqual({ settings });
    expect(model.sent).toEqual([{ type: "generate", max_new_tokens: 12, settings }]);
    expect(one(".explorer-sampling-go").textContent).toContain("asked, waiting for the model");
  });

  it("streams tokens behind the prompt's end, stops, and says what is true", async () => {
    const model = await mount();
    button("Generate").click();
    model.arrive("generated", { run: 1, state: "running", ended: "", steps: [], settings: { temperature: 0.5 } });
    model.message({ type: "step", run: 1, index: 0, step: step(" one") });
    model.message({ type: "step", run: 1, index: 1, step: step(" two", { group: 1 }) });
    model.message({ type: "step", run: 0, index: 5, step: step(" stale") });
    model.message({ type: "step", run: 1, index: "2", step: step(" malformed") });
    model.message(null);
    await frame();
    const chips = all(".explorer-sampling-row [data-index]").map((chip) => chip.textContent);
    expect(chips).toEqual(["a", " b", " one", " two"]);
    expect(one(".explorer-sampling-go").textContent).toContain("2 tokens so far");

    button("Stop").click();
    await frame();
    expect(model.sent.at(-1)).toEqual({ type: "stop" });
    expect(one(".explorer-sampling-go").textContent).toContain("stopping after 2 tokens");
    const steps = [step(" one"), step(" two", { group: 1 }), step(" three", { group: 2 })];
    model.arrive("generated", { run: 1, state: "stopped", ended: "stopped", steps, settings: { temperature: 0.5 } });
    await frame();
    expect(one(".explorer-sampling-go").textContent).toContain("stopped after 3 tokens");
    expect(button("Generate").disabled).toBe(false);
    expect(el.textContent).toContain("temperature 0.50");
  });

  it("shows a finished run again after a reload", async () => {
    const steps = [step(" one"), step(" two", { group: 1 })];
    await mount(traits({ generated: { run: 3, state: "done", ended: "end of sequence", steps, settings: { seed: 7 } } }));
    expect(all(".explorer-sampling-row [data-index]").map((chip) => chip.textContent)).toEqual(["a", " b", " one", " two"]);
    expect(one(".explorer-sampling-go").textContent).toContain("end of sequence after 2 tokens");
    expect(el.textContent).toContain("seed 7");
  });

  it("puts the pieces of a character into one chip", async () => {
    const piece = (part: number): Step => step("世", { group: 4, part, parts: 3, kind: "byte" });
    await mount(traits({ generated: { run: 1, state: "done", ended: "", steps: [piece(1), piece(2), piece(3)], settings: {} } }));
    expect(all(".explorer-sampling-row .is-pieces")).toHaveLength(1);
    expect(all(".explorer-sampling-row .explorer-piece")).toHaveLength(3);
  });

  it("shows a token's probability and alternatives to the pointer and to the keyboard", async () => {
    await mount(traits({ generated: { run: 1, state: "done", ended: "", steps: [step(" one")], settings: {} } }));
    const chip = all(".explorer-sampling-row [data-index]").at(-1)!;
    expect(chip.getAttribute("aria-label")).toContain("probability 0.250");
    chip.focus();
    await frame();
    const choices = [...one("[role=tooltip]").querySelectorAll(".explorer-sampling-choice")].map((c) => c.textContent);
    expect(choices).toEqual([" other0.500", " one0.250"]);
    expect(one("[role=tooltip] .is-chosen").textContent).toContain(" one");
  });

  it("does not claim an earlier run for a new prompt", async () => {
    const model = await mount(traits({ generated: { run: 1, state: "done", ended: "", steps: [step(" one")], settings: {} } }));
    model.arrive("text", "another prompt");
    await frame();
    expect(all(".explorer-sampling-row [data-index]").map((chip) => chip.textContent)).toEqual([" one"]);
    expect(el.textContent).toContain("continues the earlier prompt");
  });

  it("refuses more tokens than the context has room for", async () => {
    const model = await mount(traits({ about: { name: "sample", dtype: "float32", device: "cpu", context: 10 } }));
    await type(number("at most"), "9");
    expect(one("[role=alert]").textContent).toContain("from 1 to 8");
    button("Generate").click();
    expect(model.sent).toEqual([{ type: "generate", max_new_tokens: 8, settings: NEUTRAL }]);
  });
});

describe("faults", () => {
  it.each([
    ["too few bytes", { logits: wired(new Float32Array(3), [4]) }, "view.logits has 12 bytes"],
    ["NaN", { logits: wired(Float32Array.of(1, NaN), [2]) }, "logit of token 1 is NaN"],
    ["labels that do not fit", { labels: [] }, "view.labels must be a list of 40"],
    ["no prompt ids", { prompt_ids: null }, "view.prompt_ids"],
  ])("malformed data shows the error card: %s", async (_, broken, sentence) => {
    const state = traits();
    await mount({ ...state, view: { ...(state["view"] as object), ...broken } });
    expect(one(".explorer-fault").textContent).toContain(sentence);
  });

  it("keep the last good picture, and a good one heals", async () => {
    const state = traits();
    const model = await mount(state);
    const good = state["view"] as object;
    model.arrive("view", { ...good, logits: wired(Float32Array.of(NaN), [1]) });
    await frame();
    expect(el.querySelector(".explorer-fault")).not.toBeNull();
    expect(bars().length).toBeGreaterThan(10);
    model.arrive("view", good);
    await frame();
    expect(el.querySelector(".explorer-fault")).toBeNull();
  });

  it("before the first picture there is no chart and no complaint", async () => {
    await mount(traits({ view: {}, settings: null, generated: null }));
    expect(el.querySelector(".explorer-sampling-chart")).toBeNull();
    expect(el.querySelector(".explorer-fault")).toBeNull();
  });
});

it("leaves no listener, timer or frame behind", async () => {
  const model = await mount();
  drag(slider("temperature"), 40);
  button("Generate").click();
  view.abort();
  expect(model.listening).toBe(0);
  const saves = model.saves.length;
  model.message({ type: "step", run: 1, index: 0, step: step(" late") });
  await vi.advanceTimersByTimeAsync(10 * SAVE_EVERY);
  expect(model.saves).toHaveLength(saves);
  expect(el.childElementCount).toBe(0);
});

it("has a table of the bars as their text, what was cut included", async () => {
  await mount(traits({ settings: { ...NEUTRAL, top_k: 3 } }));
  const details = one<HTMLDetailsElement>(".explorer-numbers");
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
  await frame();
  const rows = all(".explorer-numbers tr").map((row) => [...row.children].map((cell) => cell.textContent));
  expect(rows[0]).toEqual(["rank", "token", "id", "probability", "cut by"]);
  expect(rows).toHaveLength(1 + 40);
  // exp(8 - 2 ln(1 + id)) falls as 1/(1 + id)²; of three the likeliest has 1/(1 + 1/4 + 1/9).
  expect(rows[1]).toEqual(["1", " t0", "0", (1 / (1 + 1 / 4 + 1 / 9)).toPrecision(4), ""]);
  expect(rows[3]?.[1]).toBe(HOSTILE);
  expect(rows[4]?.[4]).toBe("top-k 3");
});
