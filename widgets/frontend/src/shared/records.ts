/** Tokens and labels travel in columns, which are short and quickly read; see `Records` in Python. */

interface Columns {
  length: number;
  /** Per key a list, or the value where it is the same in all. */
  columns: Record<string, unknown>;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function isColumns(value: Record<string, unknown>): value is Record<string, unknown> & Columns {
  return typeof value["length"] === "number" && isPlain(value["columns"]);
}

function records({ length, columns }: Columns): Record<string, unknown>[] {
  const made = Array.from({ length }, () => ({}) as Record<string, unknown>);
  for (const [name, column] of Object.entries(columns)) {
    made.forEach((record, index) => (record[name] = Array.isArray(column) ? column[index] : column));
  }
  return made;
}

/** A trait's value with its columns as lists of records. What has none in it is given back as it is. */
export function unpacked(value: unknown): unknown {
  if (!isPlain(value)) return value;
  if (isColumns(value)) return records(value);
  let changed = false;
  const entries = Object.entries(value).map(([name, one]): [string, unknown] => {
    const here = unpacked(one);
    changed ||= here !== one;
    return [name, here];
  });
  return changed ? Object.fromEntries(entries) : value;
}
