import { afterEach, beforeEach, describe, expect, it } from "vitest";
import panel from "../src/attribution";
import { warningFor } from "../src/attribution-methods";
import type { Result, Scored } from "../src/attribution-picture";
import { attributionWords } from "../src/shared";
import { FakeModel, common, settled, token, tokensOf } from "./fake-model";

const HOSTILE = "<img src=x onerror=alert(1)>";
const NEXT = [" Mary", " the", HOSTILE, " John"].map((text, i) => ({ id: i, text, kind: "text", probability: 0.5 ** (i + 1) }));

function result(scores: number[], more: Partial<Result> = {}): Result {
  const total = scores.reduce((sum, score) => sum + score, 0);
  return { scores, total, difference: 4.9, delta: null, steps: null, baseline: "", ...more };
}

const FIRST = result([4, -0.41, 0.31]);
const INTEGRATED = result([4.4, 0.2, 0.1], { delta: 0.02, steps: 50, baseline: "all-zero embeddings" });

function traits(changes: Record<string, unknown> = {}, view: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    ...common({ title: "Attribution" }),
    view: {
      request: 1,
      tokens: tokensOf("When", " Mary", " to"),
      notes: [],
      next: NEXT,
      target: NEXT[0],
      against: null,
      results: { input_x_gradient: FIRST },
      ...view,
    },
    target: null,
    against: null,
    target_text: "",
    target_error: "",
    method: "input_x_gradient",
    ...changes,
  };
}

let view: AbortController;
let el: HTMLElement;

async function mount(state: Record<string, unknown> = traits()): Promise<FakeModel> {
  const model = new FakeModel(state);
  panel.render({ model, el, signal: view.signal });
  await settled();
  return model;
}

const words = (): string => (el.textContent ?? "").replace(/\s+/g, " ");
const choices = (): HTMLButtonElement[] => [...el.querySelectorAll<HTMLButtonElement>("[data-id]")];
const button = (name: string): HTMLButtonElement => {
  const found = [...el.querySelectorAll("button")].find((b) => b.textContent === name);
  if (found === undefined) throw new Error(`There is no button called ${name}.`);
  return found;
};
const map = (): HTMLElement[] => [...el.querySelectorAll<HTMLElement>(".explorer-attribution-map [data-index]")];
const tooltip = (): string => (el.querySelector("[role=tooltip]")?.textContent ?? "").replace(/\s+/g, " ");

function press(target: Element, key: string, more: KeyboardEventInit = {}): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
}

beforeEach(() => {
  view = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  view.abort();
  document.body.replaceChildren();
});

describe("a saved trace", () => {
  it("shows the likeliest tokens and, in place of an answer, why there is none", async () => {
    const why = "The gradients of attribution need the weights of SmolLM2, and this is a saved trace.";
    await mount(traits({}, { results: {}, unavailable: why }));
    expect(choices()).toHaveLength(NEXT.length);
    expect(el.querySelector(".explorer-picture .explorer-note")?.textContent).toBe(why);
    expect(el.querySelector(".explorer-attribution-answer")).toBeNull();
    expect(el.querySelector("[role=alert]")).toBeNull();
  });
});

describe("the question", () => {
  it("lists the likeliest next tokens with their probabilities", async () => {
    await mount();
    expect(choices().map((choice) => choice.textContent)).toEqual([" Mary 0.500", " the 0.250", `${HOSTILE} 0.125`, " John 0.063"]);
    expect(choices().map((choice) => choice.getAttribute("aria-pressed"))).toEqual(["true", "false", "false", "false"]);
    expect(el.querySelector("img")).toBeNull();
  });

  it("a click asks why, a second one lets go", async () => {
    const model = await mount();
    choices()[1]!.click();
    expect(model.saves).toEqual([{ target: 1, target_text: "" }]);
    await settled();
    expect(choices()[1]!.getAttribute("aria-pressed")).toBe("true");
    expect(el.querySelector(".explorer-attribution-answer.is-old")).not.toBeNull();
    choices()[1]!.click();
    expect(model.saves[1]).toEqual({ target: null, target_text: "" });
  });

  it("a click with Shift, or in the other mode, asks and not", async () => {
    const model = await mount();
    choices()[3]!.dispatchEvent(new MouseEvent("click", { shiftKey: true, bubbles: true }));
    expect(model.saves).toEqual([{ against: 3 }]);
    await settled();
    expect(choices()[3]!.getAttribute("aria-label")).toContain("compared with");
    button("and not").click();
    await settled();
    choices()[3]!.click();
    expect(model.saves[1]).toEqual({ against: null });
    await settled();
    choices()[0]!.click();
    expect(model.saves).toHaveLength(2);
  });

  it("the compared token that becomes the target is compared no more", async () => {
    const model = await mount(traits({ against: 3 }, { against: NEXT[3] }));
    choices()[3]!.click();
    expect(model.saves).toEqual([{ target: 3, target_text: "", against: null }]);
  });

  it("is asked with the keyboard alone", async () => {
    const model = await mount();
    expect(choices().filter((choice) => choice.tabIndex === 0)).toEqual([choices()[0]]);
    choices()[0]!.focus();
    press(choices()[0]!, "ArrowRight");
    await settled();
    expect(document.activeElement).toBe(choices()[1]);
    press(choices()[1]!, "Enter", { shiftKey: true });
    press(choices()[1]!, "End");
    await settled();
    press(choices()[3]!, "Enter");
    expect(model.saves).toEqual([{ against: 1 }, { target: 3, target_text: "" }]);
    await settled();
    press(choices()[3]!, "Escape");
    await settled();
    press(choices()[3]!, "Escape");
    expect(model.saves.slice(2)).toEqual([{ against: null }, { target: null, target_text: "" }]);
  });

  it("says which two tokens the picture is about", async () => {
    await mount(traits({ target: 0, against: 9 }, { against: { id: 9, text: " Peter", kind: "text" } }));
    expect(el.querySelector("h3")!.textContent).toBe("Why  Mary and not  Peter");
    expect(choices().map((choice) => choice.dataset["id"])).toEqual(["0", "1", "2", "3", "9"]);
  });

  it("takes a typed token as it was typed, and shows why it was not one", async () => {
    const model = await mount();
    const field = el.querySelector<HTMLInputElement>(".explorer-attribution-typed")!;
    field.value = " Par\ud800is";
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await settled();
    expect(model.saves).toEqual([]);
    press(field, "Enter");
    expect(model.saves).toEqual([{ target_text: " Par\ufffdis" }]);
    model.arrive("target_error", `${HOSTILE} is 2 tokens.`);
    await settled();
    expect(el.querySelector("[role=alert]")!.textContent).toBe(`${HOSTILE} is 2 tokens.`);
    expect(el.querySelector(".explorer-attribution-typed")!.getAttribute("aria-invalid")).toBe("true");
    press(field, "Enter");
    expect(model.saves.slice(1)).toEqual([{ target_text: "" }, { target_text: " Par\ufffdis" }]);
  });
});

describe("the map", () => {
  it("colours the tokens by their score, the same strength on both sides", async () => {
    await mount(traits({}, { results: { input_x_gradient: result([2, -2, 0]) } }));
    const [forIt, against, nothing] = map().map((chip) => chip.style.background);
    expect(forIt).not.toBe(against);
    expect(nothing).toMatch(/rgba\(.*, 0(\.0\d*)?\)/);
    expect(el.querySelector(".explorer-legend")!.textContent).toBe("against −2.00+2.00 for");
    // The sign is no colour alone: a whole line, a broken one, none.
    expect(map().map(({ className }) => /is-plus|is-minus/.exec(className)?.[0])).toEqual(["is-plus", "is-minus", undefined]);
  });

  it("says the numbers to the pointer and to the keyboard", async () => {
    await mount(traits({}, { results: { input_x_gradient: FIRST, integrated_gradients: INTEGRATED } }));
    expect(map()[1]!.getAttribute("aria-label")).toBe("token 1, “ Mary”, −0.41");
    map()[0]!.focus();
    await settled();
    expect(tooltip()).toBe("“When” +4.00 82 % of what is explainedintegrated gradients +4.40position 0 · id 100");
  });

  it("gives the pieces of a character one colour, their sum, and each its own number", async () => {
    const pieces = [1, 2, 3].map((part) => token("世", { kind: "byte", part, parts: 3 }));
    await mount(traits({}, { tokens: pieces, results: { input_x_gradient: result([1, -0.5, 0.25]) } }));
    expect(new Set(map().map((piece) => piece.style.background)).size).toBe(1);
    expect(map()[1]!.getAttribute("aria-label")).toContain("−0.50");
    map()[1]!.focus();
    await settled();
    expect(tooltip()).toContain("“世” +0.75");
    expect(tooltip()).toContain("1/3 +1.002/3 −0.503/3 +0.25");
  });

  it("sums the scores by word where it is asked", async () => {
    const units = {
      character: ["When", " Mary", " to"].map((text, i) => ({ text, first: i, last: i })),
      word: [
        { text: "When Mary", first: 0, last: 1 },
        { text: " to", first: 2, last: 2 },
      ],
    };
    await mount(traits({}, { units }));
    const details = el.querySelector<HTMLDetailsElement>(".explorer-numbers")!;
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    await settled();
    const rows = (): string[] =>
      [...details.querySelectorAll("tbody tr")].map((row) => [...row.children].map((cell) => cell.textContent).join("|"));
    expect(rows()).toHaveLength(3);
    button("word").click();
    await settled();
    expect(rows()).toEqual(["0–1|When Mary|+3.59", "2| to|+0.31"]);
  });

  it("has a table of the scores as its text", async () => {
    await mount(traits({}, { results: { input_x_gradient: FIRST, integrated_gradients: INTEGRATED } }));
    const details = el.querySelector<HTMLDetailsElement>(".explorer-numbers")!;
    expect(details.querySelector("table")).toBeNull();
    details.open = true;
    details.dispatchEvent(new Event("toggle"));
    await settled();
    const rows = [...details.querySelectorAll("tr")].map((row) => [...row.children].map((cell) => cell.textContent));
    expect(rows[0]).toEqual(["position", "token", "id", "input × gradient", "integrated gradients"]);
    expect(rows[2]).toEqual(["1", " Mary", "101", "−0.41", "+0.20"]);
  });
});

describe("the methods", () => {
  it("integrated gradients can be asked for before they are ready, and come in by themselves", async () => {
    const model = await mount();
    button("integrated gradients").click();
    expect(model.saves).toEqual([{ method: "integrated_gradients" }]);
    const status = { ...common().status, state: "working", progress: 0.45, progress_note: "integrated gradients" };
    model.arrive("status", status);
    await settled();
    expect(words()).toContain("integrated gradients: 45 %; input × gradient is shown until then");
    expect(map()[0]!.getAttribute("aria-label")).toContain("+4.00");
    const results = { input_x_gradient: FIRST, integrated_gradients: INTEGRATED };
    model.arrive("view", { ...(model.get("view") as object), results });
    model.arrive("status", common().status);
    await settled();
    expect(map()[0]!.getAttribute("aria-label")).toContain("+4.40");
    expect(words()).not.toContain("shown until then");
  });

  it("carry their proofs", async () => {
    await mount(traits({ method: "integrated_gradients", against: 3 }, { against: NEXT[3], results: { integrated_gradients: INTEGRATED } }));
    expect(words()).toContain("logit of “ Mary” minus “ John” 4.90");
    expect(words()).toContain("sum of scores 4.70 of 4.90");
    expect(words()).toContain("Baseline aloneall-zero embeddings 0.22");
    expect(words()).toContain("50 steps 0.02");
  });

  it("warn where the numbers do not hold", () => {
    const { en } = attributionWords;
    const scored = (r: Result): Scored => ({ ...r, chips: [] });
    expect(warningFor("input_x_gradient", scored(result([4.5])), undefined, en)).toBe("");
    expect(warningFor("input_x_gradient", scored(result([0.46])), undefined, en)).toMatch(/^These scores do not add up/);
    expect(warningFor("input_x_gradient", scored(result([0.46])), scored(INTEGRATED), en)).toContain("do (delta 0.02)");
    expect(warningFor("integrated_gradients", scored(INTEGRATED), undefined, en)).toBe("");
    const far = scored(result([2], { delta: -2.5, steps: 200 }));
    expect(warningFor("integrated_gradients", far, far, en)).toContain("by 2.50 of 4.50");
    expect(warningFor("input_x_gradient", scored(result([0.46])), far, en)).not.toContain("Integrated");
  });
});

describe("faults", () => {
  it.each([
    ["too few scores", { results: { input_x_gradient: result([1]) } }, "1 scores for 3 tokens"],
    ["a score that is no number", { results: { input_x_gradient: { ...FIRST, scores: [1, null, 2] } } }, "token 1 is null"],
    ["no target", { target: null }, "view.target is no token"],
    ["no list", { next: {} }, "view.next must be a list"],
  ])("malformed data shows the error card: %s", async (_, broken, sentence) => {
    await mount(traits({}, broken));
    expect(el.querySelector(".explorer-fault")!.textContent).toContain(sentence);
  });

  it("leave the last picture, dimmed", async () => {
    const model = await mount();
    const error = { message: "The prompt is empty.", detail: "" };
    model.arrive("status", { ...common().status, state: "error", error });
    await settled();
    expect(el.querySelector(".explorer-fault")!.textContent).toContain("The prompt is empty.");
    expect(el.querySelector(".is-dimmed .explorer-attribution-map")).not.toBeNull();
  });
});

it("leaves no listener behind", async () => {
  const model = await mount();
  expect(model.listening).toBeGreaterThan(0);
  view.abort();
  expect(model.listening).toBe(0);
  expect(el.childElementCount).toBe(0);
});
