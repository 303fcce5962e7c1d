import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NumberTable, Panel, mountPanel } from "../src/shared";
import { COLS_A_PAGE, ROWS_A_PAGE, pageOf } from "../src/shared/numbers";
import { FakeModel, common, settled } from "./fake-model";

let el: HTMLElement;
let view: AbortController;

beforeEach(() => {
  el = document.createElement("div");
  document.body.replaceChildren(el);
  view = new AbortController();
});

afterEach(() => view.abort());

async function unfolded(rows: number, cols: number, at: { row?: number; col?: number } = {}): Promise<HTMLElement> {
  const columns = Array.from({ length: cols }, (_, col) => ({
    head: `c${col}`,
    cell: (row: number) => `${row},${col}`,
  }));
  const lead = [{ head: "row", cell: (row: number) => `r${row}`, kind: "head" as const }];
  const Content = () => (
    <Panel name="numbers" title="Numbers" tokens={[]} ready>
      <NumberTable summary="as a table" caption="products" lead={lead} columns={columns} rows={rows} at={at} />
    </Panel>
  );
  mountPanel(Content).render({ model: new FakeModel({ ...common() }), el, signal: view.signal });
  await settled();
  const details = el.querySelector("details") as HTMLDetailsElement;
  expect(details.querySelector("table")).toBeNull();
  details.open = true;
  details.dispatchEvent(new Event("toggle"));
  await settled();
  return details;
}

const texts = (found: NodeListOf<Element>): string[] => [...found].map(({ textContent }) => textContent ?? "");

describe("pageOf", () => {
  it("holds what is asked for, and ends with what there is", () => {
    expect(pageOf(0, 120, 50)).toEqual({ first: 0, last: 49 });
    expect(pageOf(49, 120, 50)).toEqual({ first: 0, last: 49 });
    expect(pageOf(50, 120, 50)).toEqual({ first: 50, last: 99 });
    expect(pageOf(119, 120, 50)).toEqual({ first: 100, last: 119 });
  });

  it("stays inside when the picture has become smaller", () => {
    expect(pageOf(119, 7, 50)).toEqual({ first: 0, last: 6 });
    expect(pageOf(-1, 7, 50)).toEqual({ first: 0, last: 6 });
  });
});

describe("the table", () => {
  it("says every number under its heads, and its name", async () => {
    const details = await unfolded(2, 3);
    expect(texts(details.querySelectorAll("thead th"))).toEqual(["row", "c0", "c1", "c2"]);
    expect(texts(details.querySelectorAll("tbody th[scope=row]"))).toEqual(["r0", "r1"]);
    expect(texts(details.querySelectorAll("td"))).toEqual(["0,0", "0,1", "0,2", "1,0", "1,1", "1,2"]);
    expect(details.querySelector("caption")?.textContent).toBe("products");
    expect(details.querySelector("button")).toBeNull();
  });

  it("opens at what is chosen and turns page by page, to every number once", async () => {
    const rows = 2 * ROWS_A_PAGE + 5;
    const cols = COLS_A_PAGE + 1;
    const details = await unfolded(rows, cols, { row: ROWS_A_PAGE + 1, col: COLS_A_PAGE });
    expect(texts(details.querySelectorAll("thead th"))).toEqual(["row", `c${COLS_A_PAGE}`]);
    expect(details.querySelector("tbody th")?.textContent).toBe(`r${ROWS_A_PAGE}`);
    const press = async (name: string): Promise<void> => {
      details.querySelector<HTMLButtonElement>(`button[aria-label="${name}"]`)?.click();
      await settled();
    };
    await press("Rows before these");
    await press("Rows before these");
    await press("Columns before these");
    const seen = new Set<string>();
    for (let down = 0; down < 3; down++) {
      for (let across = 0; across < 2; across++) {
        for (const text of texts(details.querySelectorAll("td"))) seen.add(text);
        await press(across === 0 ? "Columns after these" : "Columns before these");
      }
      await press("Rows after these");
    }
    expect(seen.size).toBe(rows * cols);
    expect(texts(details.querySelectorAll("[role=status]"))[0]).toBe("rows 101–105 of 105");
  });
});
