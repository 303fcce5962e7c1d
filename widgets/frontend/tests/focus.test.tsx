import { signal } from "@preact/signals";
import { afterEach, beforeEach, expect, it } from "vitest";
import { Panel, mountPanel } from "../src/shared";
import { FakeModel, common, settled } from "./fake-model";

const names = signal(["a", "b"]);
let el: HTMLElement;
let view: AbortController;

function Content() {
  return (
    <Panel name="kept" title="Kept" tokens={[]} ready>
      <div id="row">
        {names.value.map((name) => (
          <button key={name} type="button" id={name}>
            {name}
          </button>
        ))}
      </div>
    </Panel>
  );
}

beforeEach(async () => {
  names.value = ["a", "b"];
  el = document.createElement("div");
  const elsewhere = document.createElement("button");
  elsewhere.id = "elsewhere";
  document.body.replaceChildren(el, elsewhere);
  view = new AbortController();
  mountPanel(Content).render({ model: new FakeModel({ ...common() }), el, signal: view.signal });
  await settled();
});

afterEach(() => view.abort());

const focused = (): string => document.activeElement?.id ?? "";
const byId = (id: string): HTMLElement => document.getElementById(id) as HTMLElement;

it("hands the keyboard on to what stands in the same row", async () => {
  byId("b").focus();
  names.value = ["c", "d"];
  await settled();
  expect(focused()).toBe("c");
});

it("keeps it in the panel where nothing is left", async () => {
  byId("b").focus();
  names.value = [];
  await settled();
  expect(document.activeElement?.closest(".explorer-panel")).not.toBeNull();
});

it("leaves those alone who went elsewhere, or nowhere", async () => {
  byId("b").focus();
  byId("elsewhere").focus();
  names.value = ["c"];
  await settled();
  expect(focused()).toBe("elsewhere");
  byId("c").focus();
  byId("c").blur();
  await settled();
  names.value = ["d"];
  await settled();
  expect(document.activeElement).toBe(document.body);
});
