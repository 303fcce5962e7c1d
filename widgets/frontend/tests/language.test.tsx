import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type CommonState, Legend, Panel, mountPanel } from "../src/shared";
import { FakeModel, common, settled, tokensOf } from "./fake-model";

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
