/** Query times key: what each dimension of a head adds to the score of one pair of tokens. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { AsSaved } from "./attention-saved";
import {
  type Column,
  type CommonState,
  Legend,
  NumberTable,
  Panel,
  type View,
  type WireToken,
  cssColor,
  decodeFloats,
  mountPanel,
  neuronWords,
  signedIndex,
  tableOf,
  tokenName,
  useModel,
  usePicture,
  useWords,
} from "./shared";

const PARTS = ["q", "k", "product"] as const;
type Part = (typeof PARTS)[number];

interface NeuronViewState extends View {
  layer: number;
  head: number;
  query: number;
  key: number;
  q: unknown;
  k: unknown;
  product: unknown;
  weight: number;
  seen: boolean;
  query_token: WireToken;
  key_token: WireToken;
}

interface NeuronPicture extends Omit<NeuronViewState, Part> {
  values: Record<Part, Float32Array>;
}

/** Decodes a view. Throws where its parts do not fit together. */
export function readNeurons(view: NeuronViewState): NeuronPicture {
  const read = (part: Part): Float32Array => decodeFloats(view[part] as never, `view.${part}`, 1).values;
  const values = { q: read("q"), k: read("k"), product: read("product") };
  if (values.q.length !== values.k.length || values.q.length !== values.product.length) {
    throw new Error(`view.q, k and product are of ${PARTS.map((part) => values[part].length).join(", ")} dimensions.`);
  }
  return { ...view, values };
}

const shown = (value: number): string => (Number.isFinite(value) ? Number(value.toPrecision(4)).toString() : String(value));

function NeuronView(): JSX.Element {
  const model = useModel<CommonState>();
  const words = useWords(neuronWords);
  const { picture, fault } = usePicture<NeuronViewState, NeuronPicture>(readNeurons as never).value;
  const at = useSignal<number | null>(null);
  const width = picture?.values.q.length ?? 0;
  const table = tableOf("signed", model.dark.value);

  const walk = (event: KeyboardEvent): void => {
    const now = at.value ?? -1;
    const next = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: width - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    at.value = Math.max(0, Math.min(width - 1, next));
  };
  const said = (picture: NeuronPicture, index: number): string => {
    const { q, k, product } = picture.values;
    return words.at(index, shown(q[index] ?? 0), shown(k[index] ?? 0), shown(product[index] ?? 0));
  };
  return (
    <Panel
      name="neuron"
      title={words.title}
      subtitle={picture === null ? "" : words.head(picture.layer, picture.head)}
      tokens={picture?.tokens ?? []}
      ready={picture !== null}
      fault={fault}
      keys={words.keys}
      legend={<Legend table="signed" low="−" high="+" />}
      aside={words.meaning}
    >
      <AsSaved />
      {picture !== null && (
        <>
          <p class="explorer-neuron-sum">
            {words.pair(<Token token={picture.query_token} />, <Token token={picture.key_token} />)}
            <strong>{words.sum(shown(picture.values.product.reduce((sum, one) => sum + one, 0)))}</strong>
            <strong>{picture.seen ? words.weight(shown(picture.weight)) : words.hidden}</strong>
          </p>
          <div
            class="explorer-neuron-rows"
            tabIndex={0}
            role="group"
            aria-label={words.title}
            onKeyDown={walk}
            onPointerLeave={() => (at.value = null)}
            onPointerMove={(event) => {
              const cells = (event.target as HTMLElement).closest<HTMLElement>(".explorer-neuron-cells");
              if (cells === null) return;
              const { left, width: across } = cells.getBoundingClientRect();
              at.value = Math.max(0, Math.min(width - 1, Math.floor(((event.clientX - left) / across) * width)));
            }}
          >
            {PARTS.map((part) => (
              <div class="explorer-neuron-row" key={part}>
                <span>{words.parts[part]}</span>
                <Cells values={picture.values[part]} at={at.value} color={(index) => cssColor(table, index)} />
              </div>
            ))}
          </div>
          <p class="explorer-neuron-at" role="status">
            {at.value === null ? "" : said(picture, Math.min(at.value, width - 1))}
          </p>
          <NumberTable
            summary={words.asTable(width)}
            caption={words.title}
            lead={[{ head: words.dimension, cell: (row) => row, kind: "head" }]}
            columns={PARTS.map<Column>((part) => ({
              head: words.parts[part],
              cell: (row) => shown(picture.values[part][row] ?? 0),
            }))}
            rows={width}
          />
        </>
      )}
    </Panel>
  );
}

function Token({ token }: { token: WireToken }): JSX.Element {
  return <bdi dir="auto">{tokenName(token)}</bdi>;
}

interface CellsProps {
  values: Float32Array;
  at: number | null;
  color: (index: number) => string;
}

/** One row: a bar up or down from the middle for each dimension, so that colour alone says nothing. */
function Cells({ values, at, color }: CellsProps): JSX.Element {
  const limit = values.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  return (
    <div class="explorer-neuron-cells" aria-hidden="true">
      {Array.from(values, (value, index) => {
        const part = limit > 0 && Number.isFinite(value) ? value / limit : 0;
        const height = `${Math.abs(part) * 50}%`;
        const style = { background: color(signedIndex(value, limit)), height, [part < 0 ? "top" : "bottom"]: "50%" };
        return (
          <span key={index} class={index === at ? "is-at" : undefined}>
            <i style={style} />
          </span>
        );
      })}
    </div>
  );
}

export default mountPanel(NeuronView);
