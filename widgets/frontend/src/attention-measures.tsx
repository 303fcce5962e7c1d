/** What every head does: a measure of all heads as a map, all measures as a table, and the heads that are like one. */

import type { JSX } from "preact";
import { useMemo, useRef } from "preact/hooks";
import { MeasureControls } from "./attention-measures-controls";
import { MeasuresMap } from "./attention-measures-map";
import { MeasuresTable, shown } from "./attention-measures-table";
import {
  type Head,
  type Measured,
  type MeasuresState,
  type Order,
  USUAL,
  isOfProbe,
  plain,
  ranked,
  rangeOf,
  readHeads,
  readMeasures,
  shortName,
} from "./attention-ranked";
import {
  type CommonState,
  Legend,
  Panel,
  type WireArray,
  type Words,
  decodeFloats,
  inWords,
  measureNames,
  measuresWords,
  mountPanel,
  noteWords,
  useModel,
  usePicture,
  useSize,
  useWords,
} from "./shared";

interface Like extends Head {
  by: "weights" | "measures";
}

interface State extends CommonState {
  selection: { layer: number | null; heads: number[] | null };
  order: Partial<Order>;
  like: Partial<Like>;
  alike: Partial<Like & { heads: WireArray; distances: WireArray }>;
}

function MeasuresView(): JSX.Element {
  const model = useModel<State>();
  const words = useWords(measuresWords);
  const { names } = useWords(measureNames);
  const { picture, fault } = usePicture<MeasuresState, Measured>(readMeasures).value;
  const body = useRef<HTMLDivElement>(null);
  const size = useSize(body).value;
  const asked = { ...USUAL, ...model.trait("order").value };
  // A measure that this attention has none of gives way to one that it has.
  const measure = picture === null || picture.measures.includes(asked.measure) ? asked.measure : (picture.measures[0] ?? "");
  const order: Order = { ...asked, measure };
  const kept = useMemo(() => (picture === null ? [] : ranked(picture, order)), [picture, JSON.stringify(order)]);
  const selection = model.trait("selection").value;
  const chosen: Head = { layer: selection?.layer ?? 0, head: selection?.heads?.[0] ?? 0 };
  const choose = ({ layer, head }: Head): void => model.write({ selection: { ...selection, layer, heads: [head] } });
  const write = (changes: Partial<Order>): void => model.write({ order: { ...order, ...changes } });
  const range = picture === null ? null : rangeOf(picture, measure);
  const name = names[measure] ?? measure;
  const high = top(measure, range);
  const why = inWords(picture?.probe.why ?? "", useWords(noteWords));

  return (
    <Panel
      name="measures"
      title={words.title}
      subtitle={words.head(chosen.layer, chosen.head)}
      tokens={picture?.tokens ?? []}
      ready={picture !== null}
      fault={fault}
      keys={words.keys}
      legend={<Legend table="weight" low="0" high={high === 1 ? "1" : shown(high)} />}
      aside={picture === null ? "" : asideOf(picture, measure, why, words)}
    >
      <div ref={body}>
        {picture !== null && (
          <>
            <MeasureControls measures={picture.measures} order={order} onOrder={write} />
            <Meaning measure={measure} />
            <p class="explorer-measures-kept" role="status">
              {kept.length > 0
                ? words.kept(kept.length, picture.all.length)
                : noneOf(picture, order, range, name, why, words)}
            </p>
            <MeasuresMap
              measured={picture}
              measure={measure}
              most={high}
              kept={kept}
              chosen={chosen}
              width={size.width}
              ratio={size.ratio}
              onChoose={choose}
            />
            <MeasuresTable
              measured={picture}
              order={order}
              heads={kept}
              chosen={chosen}
              onOrder={write}
              onChoose={choose}
            />
            <Alike chosen={chosen} onChoose={choose} />
          </>
        )}
      </div>
    </Panel>
  );
}

/** What the strongest colour means: 1 for a share, else the largest value. */
function top(measure: string, range: { most: number } | null): number {
  const share = measure !== "entropy" && measure !== "distance";
  return share ? 1 : range !== null && range.most > 0 ? range.most : 1;
}

/** Why no head is left. */
function noneOf(
  picture: Measured,
  order: Order,
  range: { most: number } | null,
  name: string,
  why: string,
  words: Words<typeof measuresWords>,
): string {
  if (range !== null) return words.noneKept(name, shown(order.least ?? NaN), shown(range.most));
  const { state } = picture.probe;
  if (isOfProbe(order.measure)) return state === "pending" ? `${words.pending} …` : words.noProbe(why);
  return order.measure === "duplicate" || order.measure === "induction" ? words.noneRepeats : words.noValues(name);
}

/** From what the numbers are means. */
function asideOf(picture: Measured, measure: string, why: string, words: Words<typeof measuresWords>): string {
  const { state, edited } = picture.probe;
  const probing = isOfProbe(measure);
  const said = [probing ? words.ofProbe(picture.texts) : words.meansOf(picture.rows, picture.all_rows)];
  if (state === "pending") said.push(words.pending);
  if (state === "none" && why !== "") said.push(words.noProbe(why));
  if (state === "ready" && !edited) said.push(words.unedited);
  return said.join(" · ");
}

/** Definition, unit and source of the chosen measure. */
function Meaning({ measure }: { measure: string }): JSX.Element | null {
  const words = useWords(measuresWords);
  const { names } = useWords(measureNames);
  const means = words.means[plain(measure)];
  if (means === undefined) return null;
  const [definition, unit, source] = means;
  return (
    <p class="explorer-measures-meaning">
      <strong>{names[measure]}</strong> ({unit}) {definition} <cite>{source}</cite>
    </p>
  );
}

/** The heads that are like the chosen one, when they are asked for. */
function Alike({ chosen, onChoose }: { chosen: Head; onChoose: (head: Head) => void }): JSX.Element {
  const model = useModel<State>();
  const words = useWords(measuresWords);
  const like = model.trait("like").value ?? {};
  const alike = model.trait("alike").value ?? {};
  const found = useMemo(() => readAlike(alike), [alike]);
  const of = (head: Partial<Head>): string => words.head(head.layer ?? 0, head.head ?? 0);
  return (
    <div class="explorer-measures-alike">
      <div class="explorer-measures-controls" role="group" aria-label={words.likeThis(of(chosen))}>
        <span>{words.likeThis(of(chosen))}</span>
        {(["weights", "measures"] as const).map((by) => {
          const on = like.by === by && like.layer === chosen.layer && like.head === chosen.head;
          return (
            <button
              key={by}
              type="button"
              class="explorer-button"
              disabled={!model.connected.value}
              aria-pressed={on}
              title={words.alikeMeans[by]}
              onClick={() => model.write({ like: on ? {} : { ...chosen, by } })}
            >
              {words.alikeBy[by]}
            </button>
          );
        })}
      </div>
      {found !== null && (
        <>
          <p class="explorer-measures-meaning">
            <strong>{words.alikeTo(of(alike))}</strong> {words.alikeMeans[alike.by ?? "weights"]}
          </p>
          <ol>
            {found.map(({ at, distance }) => (
              <li key={shortName(at)}>
                <button
                  type="button"
                  class="explorer-button"
                  title={of(at)}
                  aria-pressed={at.layer === chosen.layer && at.head === chosen.head}
                  onClick={() => onChoose(at)}
                >
                  <b>{shortName(at)}</b> {shown(distance)}
                </button>
              </li>
            ))}
          </ol>
        </>
      )}
    </div>
  );
}

/** The list that Python made; `null` where there is none. */
function readAlike(alike: State["alike"]): { at: Head; distance: number }[] | null {
  if (alike.heads === undefined || alike.distances === undefined) return null;
  const distances = decodeFloats(alike.distances, "alike.distances", 1).values;
  return readHeads(alike.heads, "alike.heads").map((at, place) => ({ at, distance: distances[place] ?? NaN }));
}

export default mountPanel(MeasuresView);
