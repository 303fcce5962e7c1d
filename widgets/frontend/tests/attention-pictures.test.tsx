import { afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import panel from "../src/attention-pictures";
import { type PicturesView, laid, limitOf, readPicture } from "../src/attention-pictures-picture";
import { FakeModel, common, settled, tokensOf, wired } from "./fake-model";

/** Two heads over a class token and two patches side by side. */
function picturesView(changes: Partial<PicturesView> = {}): PicturesView {
  // Of each head the rows of the class token, the left and the right patch.
  const heads = [0.5, 0.25, 0.25, 0, 1, 0, 0, 0.5, 0.5, 1, 0, 0, 0.5, 0.5, 0, 0.25, NaN, 0.75];
  return {
    request: 1,
    tokens: tokensOf("[class]", "0,0", "0,1"),
    notes: [],
    layer: 3,
    heads: [1, 5],
    vision: true,
    picture: wired(Uint8Array.of(255, 0, 0, 0, 0, 255), [1, 2, 3]) as never,
    true_colors: true,
    places: wired(Int32Array.of(1, 2), [1, 2]) as never,
    class_token: 0,
    query: 0,
    queries: [0, 3],
    weights: wired(Float32Array.from(heads), [2, 3, 3]) as never,
    not_numbers: 1,
    ...changes,
  };
}

describe("a picture", () => {
  it("keeps its colours, and its patches their weights: together and head by head", () => {
    const picture = readPicture(picturesView());
    expect([...picture.pixels]).toEqual([255, 0, 0, 255, 0, 0, 255, 255]);
    const mean = laid(picture, 1, false);
    expect(mean.map(({ head, cells }) => [head, [...cells]])).toEqual([
      [null, [0.75, 0]],
      [1, [1, 0]],
      [5, [0.5, 0]],
    ]);
    expect([...(laid(picture, 0, true)[0]?.cells ?? [])]).toEqual([0.25, 0.25]);
    expect(mean[0]).toMatchObject({ share: 0.75, classToken: 0.25 });
    expect(limitOf(laid(picture, 2, false))).toBe(0.75);
    expect(laid(readPicture(picturesView({ queries: [5, 3] })), 1, false)).toEqual([]);
  });

  it.each([
    ["places", { places: wired(Int32Array.of(1, 9), [1, 2]) as never }],
    ["weights", { heads: [1] }],
    ["picture", { picture: wired(Uint8Array.of(1, 2), [1, 2, 1]) as never }],
  ])("whose parts do not fit together is refused: %s", (_name, changes) => {
    expect(() => readPicture(picturesView(changes))).toThrow("view.");
  });
});

let view: AbortController;
let el: HTMLElement;

async function mount(changes: Record<string, unknown> = {}): Promise<FakeModel> {
  const model = new FakeModel({
    ...common({ text: "(an image)", embedded: true }),
    ...{ view: picturesView(), inside: true, around: "" },
    selection: { layer: 3, heads: [1, 5], query: null, key: null, stack: null, kind: "attn" },
    ...changes,
  });
  panel.render({ model, el, signal: view.signal });
  await settled();
  return model;
}

const figures = (): HTMLElement => el.querySelector(".explorer-pictures-figures") as HTMLElement;
const said = (): string => el.querySelector(".explorer-pictures-said")?.textContent ?? "";

beforeAll(() => {
  Object.defineProperty(HTMLElement.prototype, "clientWidth", { configurable: true, get: () => 640 });
});

beforeEach(() => {
  view = new AbortController();
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => {
  view.abort();
  document.body.replaceChildren();
});

describe("the view", () => {
  it("begins with the class token, and says how the weight is shared out", async () => {
    await mount();
    expect(el.querySelector(".explorer-pictures-asked")?.textContent).toBe("class token attends to");
    expect(said()).toBe("the patches get 25 % of the weight · the class token 75 %");
    const captions = [...el.querySelectorAll("figcaption")].map((one) => one.textContent);
    expect(captions).toEqual(["as the model was given it", "mean of the heads", "head 1", "head 5"]);
    expect(el.querySelector(".explorer-aside")?.textContent).toBe("1 weight is not a number: crossed out");
  });

  it("is walked by arrows, each patch with its weights; Enter asks it, Escape lets go", async () => {
    const model = await mount();
    const press = (key: string): void => {
      figures().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    };
    press("End");
    await settled();
    expect(said()).toBe("patch 0, 1: 0.1250 · head 1 0.2500 · head 5 0.0000");
    press("ArrowLeft");
    press("Enter");
    await settled();
    expect(model.saves.at(-1)).toMatchObject({ selection: { query: 1, key: null, heads: [1, 5] } });
    expect(el.querySelector(".explorer-pictures-asked")?.textContent).toBe("patch 0, 0 attends to");
    expect(said()).toBe("patch 0, 0: 0.7500 · head 1 1.0000 · head 5 0.5000");
    press("Escape");
    await settled();
    expect(model.saves.at(-1)).toMatchObject({ selection: { query: null } });
  });

  it("names weights that are no numbers", async () => {
    await mount({ selection: { layer: 3, heads: [1, 5], query: 2, key: null, stack: null, kind: "attn" } });
    expect(said()).toBe("not a number");
  });

  it("waits for a patch whose weights are not there", async () => {
    await mount({ view: picturesView({ queries: [0, 1], weights: wired(new Float32Array(6), [2, 1, 3]) as never }) });
    const model = await mount({
      view: picturesView({ queries: [0, 1], weights: wired(new Float32Array(6), [2, 1, 3]) as never }),
      selection: { layer: 3, heads: [1, 5], query: 2, key: null, stack: null, kind: "attn" },
    });
    expect(el.querySelector(".explorer-note")?.textContent).toBe("What is chosen is on its way.");
    expect(model.saves).toEqual([]);
  });
});
