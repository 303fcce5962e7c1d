// Every token as a row. Only the rows in sight are drawn: thousands of them scroll as lightly as ten.

import { type Signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type TokenPicture, type Row, type State, windowOf } from "./token-picture";
import { blankMarks, roleName, sharedWords, tokenWords, useModel, useWords, visible } from "./shared";

const ROW = 24; // as in token.css; the head is as high
const HEIGHT = 12 * ROW;
const ON_PAPER = 600; // rows; who wants more on paper takes `frame`

export function TokenTable({ picture, chosen }: { picture: TokenPicture; chosen: number | null }): JSX.Element {
  const model = useModel<State>();
  const words = useWords(tokenWords);
  const common = useWords(sharedWords);
  const top = useSignal(0);
  const paper = usePaper();
  const room = useRef<HTMLDivElement>(null);
  const { rows } = picture;
  const roles = rows.some(({ token }) => token.role !== undefined);
  const hovered = model.trait("hover").value ?? null;
  const [first, last] = paper.value ? [0, Math.min(ON_PAPER, rows.length)] : windowOf(top.value, HEIGHT, ROW, rows.length);

  useEffect(() => {
    const element = room.current;
    if (element === null || chosen === null) return;
    if (chosen * ROW < element.scrollTop) element.scrollTop = chosen * ROW;
    else if ((chosen + 2) * ROW > element.scrollTop + element.clientHeight) {
      element.scrollTop = (chosen + 2) * ROW - element.clientHeight; // the head covers one row
    }
    top.value = element.scrollTop;
  }, [chosen, rows]);

  const choose = (index: number | null): void => model.write({ chosen: index });
  const walk = (event: KeyboardEvent): void => {
    const here = chosen ?? -1;
    const steps: Record<string, number> = {
      ArrowDown: here + 1,
      ArrowUp: here - 1,
      PageDown: here + 10,
      PageUp: here - 10,
      Home: 0,
      End: rows.length - 1,
    };
    const target = steps[event.key];
    if (target !== undefined) choose(Math.max(0, Math.min(rows.length - 1, target)));
    else if (event.key === "Escape") choose(null);
    else return;
    event.preventDefault();
  };

  const columns = ["position", "id", "text", "bytes", "kind", "piece", "character", "word", "place", ...(roles ? (["role"] as const) : [])] as const;
  const cells = (row: Row, index: number): JSX.Element => {
    const marks = `${index === chosen ? " is-chosen" : ""}${index === hovered ? " is-hovered" : ""}`;
    return (
      <div
        key={index}
        class={`explorer-token-row${marks}`}
        role="row"
        aria-rowindex={index + 2}
        aria-selected={index === chosen}
        data-row={index}
        onPointerEnter={() => model.hover(index)}
        onClick={() => choose(index === chosen ? null : index)}
      >
        <span role="cell">{index}</span>
        <span role="cell">{row.token.id}</span>
        <span role="cell" class="is-text">
          <Text row={row} />
        </span>
        <span role="cell" class="is-bytes" title={row.bytes}>
          {row.bytes || "–"}
        </span>
        <span role="cell">{words.kinds[row.token.kind]}</span>
        <span role="cell">{row.token.parts > 1 ? `${row.token.part}/${row.token.parts}` : ""}</span>
        <span role="cell">{row.character ?? "–"}</span>
        <span role="cell">{row.word ?? "–"}</span>
        <span role="cell">{row.place === null ? words.added : `${row.place[0]}–${row.place[1]}`}</span>
        {roles && <span role="cell">{roleName(row.token.role, common)}</span>}
      </div>
    );
  };
  return (
    <>
      <div
        ref={room}
        class="explorer-token-room"
        role="group"
        tabIndex={0}
        aria-label={words.table}
        onScroll={(event) => (top.value = event.currentTarget.scrollTop)}
        onKeyDown={walk}
        onPointerLeave={() => model.hover(null)}
      >
        <div class={`explorer-token-table ${roles ? "has-roles" : ""}`} role="table" aria-label={words.table} aria-rowcount={rows.length + 1}>
          <div class="explorer-token-row is-head" role="row" aria-rowindex={1}>
            {columns.map((name) => (
              <span key={name} role="columnheader" title={words.meanings[name]}>
                {name === "id" ? name : words.columns[name]}
              </span>
            ))}
          </div>
          <div role="rowgroup" style={paper.value ? undefined : { height: `${rows.length * ROW}px` }}>
            <div role="presentation" style={{ transform: `translateY(${first * ROW}px)` }}>
              {rows.slice(first, last).map((row, at) => cells(row, first + at))}
            </div>
          </div>
        </div>
        <p class="explorer-hidden" role="status">
          {chosen !== null && rows[chosen] ? common.position(chosen) : ""}
        </p>
      </div>
      {paper.value && last < rows.length && <p>{common.rowsShown(1, last, rows.length)}</p>}
    </>
  );
}

/** Whether the page is being printed, where nothing can be scrolled. */
function usePaper(): Signal<boolean> {
  const paper = useSignal(false);
  useEffect(() => {
    const query = matchMedia("print");
    const look = (): void => {
      paper.value = query.matches;
    };
    look();
    query.addEventListener("change", look);
    return () => query.removeEventListener("change", look);
  }, []);
  return paper;
}

function Text({ row }: { row: Row }): JSX.Element {
  const marks = blankMarks(row.token.text);
  return (
    <bdi class={`explorer-text ${marks ? "is-space" : ""}`} dir="auto" data-marks={marks ?? undefined}>
      {visible(row.token.text)}
    </bdi>
  );
}
