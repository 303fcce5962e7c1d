/** An image with what a position attends to laid over it, for the chosen heads together and each by itself. */

import { type Signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { DECADES, entryOf } from "./attention-colors";
import { type Laid, type Picture, laid, limitOf, readPicture } from "./attention-pictures-picture";
import { AsSaved } from "./attention-saved";
import type { Combine, Scale, Selection } from "./attention-state";
import {
  type Cell,
  type CommonState,
  type Fault,
  Legend,
  NumberTable,
  Panel,
  type Table,
  type Words,
  cssColor,
  mountPanel,
  picturesWords,
  sharedWords,
  tableOf,
  tokenName,
  useAround,
  useModel,
  usePicture,
  useSize,
  useTooltip,
  useWords,
} from "./shared";

interface State extends CommonState {
  selection: Partial<Selection>;
}

type PicturesWords = Words<typeof picturesWords>;

// The picture of all heads together, and of each by itself, at most; in CSS pixels.
const LARGE = 400;
const SMALL = 156;
const GAP = 12;
// In a narrow column all are as wide as two of them fit.
const NARROW = 200;

function weightWords(weight: number | undefined, words: PicturesWords): string {
  if (weight === undefined || !Number.isFinite(weight)) return words.notANumber;
  return weight > 0 && weight < 0.0005 ? weight.toExponential(1) : weight.toFixed(4);
}

const percent = (share: number): string => (share * 100).toFixed(share < 0.1 ? 1 : 0);

function PicturesPanel(): JSX.Element {
  const words = useWords(picturesWords);
  const found = usePicture(readPicture as never).value as { picture: Picture | null; fault: Fault | null };
  const { picture, fault } = found;
  const model = useModel<State>();
  const combine = useAround<Combine>("combine", "mean");
  const scale = useAround<Scale>("scale", "linear");
  const selection = model.trait("selection").value ?? {};
  const wanted = selection.query ?? picture?.query ?? 0;
  const there = picture !== null && wanted >= picture.first && wanted < picture.first + picture.queries;
  const query = there ? wanted : (picture?.query ?? 0);
  const shown = useMemo(
    () => (picture === null ? [] : laid(picture, query, combine === "max")),
    [picture, query, combine],
  );
  const limit = limitOf(shown);
  return (
    <Panel
      name="pictures"
      title={words.title}
      subtitle={picture === null ? "" : words.layer(picture.layer)}
      tokens={picture?.tokens ?? []}
      ready={picture !== null}
      fault={fault}
      keys={words.keys}
      legend={<Legend table="weight" low={lowEnd(limit, scale)} high={weightWords(limit, words)} />}
      aside={picture === null ? "" : asideOf(picture, words)}
    >
      <AsSaved />
      {picture !== null && (
        <Drawn {...{ picture, shown, limit, query, combine, scale }} waiting={!there} selection={selection} />
      )}
    </Panel>
  );
}

/** What the faintest colour means. */
function lowEnd(limit: number, scale: Scale): string {
  return scale === "log" ? `≤ ${Number((limit / 10 ** DECADES).toPrecision(2))}` : "0";
}

function asideOf(picture: Picture, words: PicturesWords): string {
  const said = picture.trueColors ? [] : [words.ownRange];
  if (picture.notNumbers > 0) said.push(words.notNumbers(picture.notNumbers));
  return said.join(" · ");
}

interface DrawnProps {
  picture: Picture;
  shown: Laid[];
  limit: number;
  query: number;
  combine: Combine;
  scale: Scale;
  /** Whether what is chosen is not there yet. */
  waiting: boolean;
  selection: Partial<Selection>;
}

function Drawn({ picture, shown, limit, query, combine, scale, waiting, selection }: DrawnProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(picturesWords);
  const { needsModel } = useWords(sharedWords);
  const room = useRef<HTMLDivElement>(null);
  const size = useSize(room);
  const at = useSignal<Cell | null>(null);
  const cell = at.value !== null && at.value.row < picture.rows && at.value.col < picture.cols ? at.value : null;
  const asked = picture.places.indexOf(query);
  const asks = asked < 0 ? null : { row: Math.floor(asked / picture.cols), col: asked % picture.cols };
  const select = (position: number | null): void => {
    const { layer = null, heads = null, stack = null, kind = "attn" } = selection;
    model.write({ selection: { layer, heads, query: position, key: null, stack, kind } });
  };
  const ask = ({ row, col }: Cell): void => {
    const position = picture.places[row * picture.cols + col] ?? 0;
    select(selection.query === position ? null : position);
  };
  const walk = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { row, col } = at.peek() ?? asks ?? { row: 0, col: 0 }; // keys can come faster than drawings
    const last = { row: picture.rows - 1, col: picture.cols - 1 };
    const steps: Record<string, Cell> = {
      ArrowDown: { row: Math.min(last.row, row + 1), col },
      ArrowUp: { row: Math.max(0, row - 1), col },
      ArrowRight: { row, col: Math.min(last.col, col + 1) },
      ArrowLeft: { row, col: Math.max(0, col - 1) },
      Home: { row: 0, col: 0 },
      End: last,
    };
    const target = steps[event.key];
    if (target !== undefined) at.value = target;
    else if (event.key === "Enter" || event.key === " ") ask({ row, col });
    else if (event.key === "Escape") select(null);
    else return;
    event.preventDefault();
  };
  const width = Math.max(120, Math.min(LARGE, (size.value.width - GAP) / 2));
  const name = <Name picture={picture} query={query} asks={asks} />;
  const [main] = shown;
  const common = { picture, limit, scale, at, cell, asks, onAsk: ask };
  const figure = (of: Laid, width: number): JSX.Element => (
    <Figure
      key={of.head ?? "all"}
      {...common}
      {...{ of, width }}
      words={of.head === null ? words.together[combine] : words.head(of.head)}
    />
  );
  return (
    <>
      <div class="explorer-toolbar">
        <span class="explorer-pictures-asked">{words.attendsTo(name)}</span>
        {picture.classToken !== null && (
          <button
            type="button"
            class="explorer-button"
            aria-pressed={query === picture.classToken}
            onClick={() => select(picture.classToken)}
          >
            {words.classToken}
          </button>
        )}
      </div>
      {waiting && (
        <p class="explorer-note" role="status">
          {model.connected.value ? words.waiting : needsModel}
        </p>
      )}
      <div ref={room} class="explorer-pictures-room">
        <div
          class="explorer-pictures-figures"
          tabIndex={0}
          role="group"
          aria-label={words.grid(picture.rows, picture.cols)}
          onKeyDown={walk}
        >
          {size.value.width > 0 && (
            <>
              <Figure {...common} width={width} of={null} words={words.plain} />
              {main !== undefined && figure(main, width)}
              {shown.length > 1 && (
                <div class="explorer-pictures-heads">{shown.slice(1).map((one) => figure(one, width < NARROW ? width : SMALL))}</div>
              )}
            </>
          )}
        </div>
      </div>
      <p class="explorer-pictures-said" role="status">
        {cell !== null && main !== undefined
          ? words.at(cell.row, cell.col, cellWords(shown, cell, picture, words))
          : main !== undefined && shares(main, picture, words)}
      </p>
      {main !== undefined && (
        <NumberTable
          summary={words.asTable(picture.rows, picture.cols)}
          caption={words.title}
          lead={[{ head: words.rowByColumn, cell: (row) => row, kind: "head" }]}
          columns={Array.from({ length: picture.cols }, (_, col) => ({
            head: col,
            cell: (row: number) => weightWords(main.cells[row * picture.cols + col], words),
          }))}
          rows={picture.rows}
        />
      )}
    </>
  );
}

/** How the weight is shared out: the image, the class token, the rest of the text. */
function shares(main: Laid, picture: Picture, words: PicturesWords): string {
  if (!Number.isFinite(main.share)) return words.notANumber;
  const said = [picture.vision ? words.patchesGet(percent(main.share)) : words.imageGets(percent(main.share))];
  if (main.classToken !== null) said.push(words.classGets(percent(main.classToken)));
  return said.join(" · ");
}

/** Each head's weight of a patch. */
function cellWords(shown: readonly Laid[], { row, col }: Cell, picture: Picture, words: PicturesWords): string {
  return shown
    .map(({ head, cells }) => {
      const weight = weightWords(cells[row * picture.cols + col], words);
      return shown.length === 1 ? weight : head === null ? weight : `${words.head(head)} ${weight}`;
    })
    .join(" · ");
}

function Name({ picture, query, asks }: { picture: Picture; query: number; asks: Cell | null }): JSX.Element {
  const words = useWords(picturesWords);
  const token = picture.tokens[query];
  if (query === picture.classToken) return <b>{words.classToken}</b>;
  if (asks !== null) return <b>{words.patch(asks.row, asks.col)}</b>;
  return <bdi dir="auto">{token === undefined ? "" : tokenName(token)}</bdi>;
}

interface FigureProps {
  picture: Picture;
  /** What is laid over it; `null` for the image as it is. */
  of: Laid | null;
  words: string;
  width: number;
  limit: number;
  scale: Scale;
  at: Signal<Cell | null>;
  cell: Cell | null;
  asks: Cell | null;
  onAsk: (cell: Cell) => void;
}

function Figure({ picture, of, words: caption, width, limit, scale, at, cell, asks, onAsk }: FigureProps): JSX.Element {
  const model = useModel<State>();
  const words = useWords(picturesWords);
  const tooltip = useTooltip();
  const canvas = useRef<HTMLCanvasElement>(null);
  const height = (width * picture.height) / picture.width;
  const table = tableOf("weight", model.dark.value);
  const ratio = globalThis.devicePixelRatio || 1;
  useLayoutEffect(() => {
    if (canvas.current !== null) draw(canvas.current, { picture, of, width, height, limit, scale, table, ratio });
  }, [picture, of, width, limit, scale, table, ratio]);
  const under = (event: MouseEvent): Cell => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    const part = (place: number, count: number): number => Math.max(0, Math.min(count - 1, Math.floor(place * count)));
    return {
      row: part((event.clientY - box.top) / box.height, picture.rows),
      col: part((event.clientX - box.left) / box.width, picture.cols),
    };
  };
  const frame = (where: Cell, kind: string): JSX.Element => (
    <span
      class={`explorer-pictures-frame ${kind}`}
      style={{
        left: `${(where.col / picture.cols) * 100}%`,
        top: `${(where.row / picture.rows) * 100}%`,
        width: `${100 / picture.cols}%`,
        height: `${100 / picture.rows}%`,
      }}
    />
  );
  return (
    <figure class="explorer-pictures-figure" style={{ width: `${width}px` }}>
      <div
        class="explorer-pictures-plane"
        style={{ height: `${height}px` }}
        onPointerMove={(event) => {
          const found = under(event);
          at.value = found;
          const weight = of?.cells[found.row * picture.cols + found.col];
          const value = of === null ? null : <b class="explorer-value">{weightWords(weight, words)}</b>;
          tooltip.show(event, [words.patch(found.row, found.col), " ", value]);
        }}
        onPointerLeave={() => {
          at.value = null;
          tooltip.hide();
        }}
        onClick={(event) => {
          tooltip.hide(); // it says what was asked before
          onAsk(under(event));
        }}
      >
        <canvas ref={canvas} role="img" aria-label={caption} />
        {asks !== null && frame(asks, "is-asked")}
        {cell !== null && frame(cell, "is-at")}
      </div>
      <figcaption>
        {caption}
        {of !== null && cell !== null && (
          <b class="explorer-value"> {weightWords(of.cells[cell.row * picture.cols + cell.col], words)}</b>
        )}
      </figcaption>
    </figure>
  );
}

interface Drawing {
  picture: Picture;
  of: Laid | null;
  width: number;
  height: number;
  limit: number;
  scale: Scale;
  table: Table;
  ratio: number;
}

/** The image; under weights pale and without colours of its own, so that their colours are all that is seen. */
function draw(canvas: HTMLCanvasElement, { picture, of, width, height, limit, scale, table, ratio }: Drawing): void {
  const context = canvas.getContext("2d");
  const plain = document.createElement("canvas");
  [plain.width, plain.height] = [picture.width, picture.height];
  const source = plain.getContext("2d");
  if (context === null || source === null) return;
  source.putImageData(new ImageData(picture.pixels, picture.width, picture.height), 0, 0);
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
  context.scale(ratio, ratio);
  context.imageSmoothingEnabled = picture.width >= width;
  if (of !== null) {
    context.filter = "grayscale(1)";
    context.globalAlpha = 0.3;
  }
  context.drawImage(plain, 0, 0, width, height);
  context.filter = "none";
  context.globalAlpha = 1;
  if (of === null) return;
  const [wide, high] = [width / picture.cols, height / picture.rows];
  of.cells.forEach((weight, index) => {
    const [left, top] = [(index % picture.cols) * wide, Math.floor(index / picture.cols) * high];
    if (!Number.isFinite(weight)) {
      hatch(context, left, top, wide, high);
      return;
    }
    context.fillStyle = cssColor(table, entryOf(weight, limit, scale));
    context.fillRect(left, top, wide, high);
  });
}

/** A cell whose weight is no number: crossed out. */
function hatch(context: CanvasRenderingContext2D, left: number, top: number, wide: number, high: number): void {
  context.strokeStyle = "#a34a05";
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(left + 2, top + 2);
  context.lineTo(left + wide - 2, top + high - 2);
  context.moveTo(left + wide - 2, top + 2);
  context.lineTo(left + 2, top + high - 2);
  context.stroke();
}

export default mountPanel(PicturesPanel);
