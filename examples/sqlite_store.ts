/**
 * A custom store: checkpoints in an SQLite database, through the driver of the runtime.
 *
 * `bun examples/sqlite_store.ts runs/numbers.sqlite` trains, saves each step, and resumes where it was killed.
 *
 * A save writes its parts as rows of a save without a number. The commit gives the save its number, in one transaction: before it nothing
 * is visible, and after it the whole checkpoint is.
 */
import { Loader, type NoCheckpoint, pipe, resume, Rng, saveState, type Store, type StoreFailed } from "@dogear/dogear";
import { checkedChunk, checkRange, checkStoreOptions, digester, ofCheckpoint, ofPart } from "@dogear/dogear/store";
import {
  numberTaken,
  type OpenPart,
  savingOf,
  storeFailed,
  type StoreOptions,
  type StoreWriter,
} from "@dogear/dogear/store";
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { resolve } from "node:path";
import process from "node:process";

type Row = Readonly<Record<string, unknown>>;
interface Database {
  readonly prepare: (sql: string) => { readonly all: (...values: readonly unknown[]) => readonly Row[] };
  readonly exec: (sql: string) => void;
}

// Both drivers have `prepare` and `exec`. A name in a variable keeps the compiler of the other runtime from looking for the module.
const driver = "Bun" in globalThis ? ["bun:sqlite", "Database"] as const : ["node:sqlite", "DatabaseSync"] as const;
const Driver = (await import(driver[0]))[driver[1]] as new (path: string) => Database;

const schema = `
  PRAGMA busy_timeout = 20000;
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = FULL;
  CREATE TABLE IF NOT EXISTS save (id INTEGER PRIMARY KEY AUTOINCREMENT, begun INTEGER, number INTEGER UNIQUE, manifest BLOB);
  CREATE TABLE IF NOT EXISTS chunk (save INTEGER, part TEXT, start INTEGER, bytes BLOB, PRIMARY KEY (save, part, start));`;

/** A store in the SQLite database at a path. */
export function sqlite(path: string, options: StoreOptions = {}): Store {
  checkStoreOptions(options);
  const location = resolve(path);
  const database = new Driver(location);
  database.exec(schema);
  const rows = (sql: string, ...values: readonly unknown[]): readonly Row[] => database.prepare(sql).all(...values);
  const locationOf = (checkpoint: number): string => `${location}#${checkpoint}`;

  /** What SQLite throws is a failure of the store. */
  const attempt = <A>(operation: string, at: string, f: () => A): TE.TaskEither<StoreFailed, A> =>
    TE.fromIOEither(() =>
      E.tryCatch(f, (thrown) => storeFailed(operation, at, "ERR_SQLITE", (thrown as Error).message))
    );
  /** All of `f` or nothing; other processes wait. `f` is synchronous, so nothing of this process comes in between. */
  const transaction = <A>(f: () => A): A => {
    database.exec("BEGIN IMMEDIATE");
    try {
      const result = f();
      database.exec("COMMIT");
      return result;
    } catch (thrown) {
      database.exec("ROLLBACK");
      throw thrown;
    }
  };
  const numbers = (): readonly number[] =>
    rows("SELECT number FROM save WHERE number IS NOT NULL ORDER BY number").map(({ number }) => Number(number));
  const discard = (id: unknown): void => {
    rows("DELETE FROM chunk WHERE save = ?", id);
    rows("DELETE FROM save WHERE id = ?", id);
  };
  const committed = (checkpoint: number): Row | undefined => rows("SELECT * FROM save WHERE number = ?", checkpoint)[0];
  const none = (checkpoint: number): E.Either<StoreFailed | NoCheckpoint, never> =>
    E.left({ _tag: "NoCheckpoint", location, checkpoint, available: numbers() });

  const writer = (id: unknown): StoreWriter => ({
    put: (name, chunks) => async () => {
      const digesting = digester(options.digest);
      const insert = (bytes: Uint8Array) =>
        attempt(
          "write",
          `${location}/${name}`,
          () => rows("INSERT INTO chunk VALUES (?, ?, ?, ?)", id, name, digesting.result().bytes, bytes),
        );
      for await (const chunk of chunks) {
        if (checkedChunk(chunk).length === 0) continue;
        const inserted = await insert(chunk)();
        if (E.isLeft(inserted)) return inserted;
        digesting.update(chunk);
      }
      // An empty part has one empty row.
      const last = digesting.result().bytes === 0 ? await insert(new Uint8Array())() : E.right([]);
      return E.isLeft(last) ? last : E.right(digesting.result());
    },
    // The database copies the rows; no byte passes through this process.
    reuse: (name, from) =>
      attempt("reuse", `${location}/${name}`, () => {
        const copied = `SELECT ?, ?, start, bytes FROM chunk JOIN save ON save = id WHERE number = ? AND part = ?`;
        return rows(`INSERT INTO chunk ${copied} RETURNING start`, id, name, from.checkpoint, from.name).length > 0;
      }),
    checksCondition: true,
    commit: (manifest, condition) => async () => {
      // A copy from another store keeps its number.
      const number = (newest: number): number => condition?.number ?? newest + 1;
      // The check is asynchronous, so it is repeated until no commit has come in between.
      for (;;) {
        const before = await attempt("list", location, numbers)();
        if (E.isLeft(before)) return before;
        const newest = before.right.at(-1) ?? -1;
        if (number(newest) <= newest) return E.left(numberTaken(locationOf(number(newest))));
        const checked = await (condition?.check(before.right.filter((number) =>
          number > condition.parent
        ))() ?? E.right(undefined));
        if (E.isLeft(checked)) return checked;
        const done = await attempt("commit", location, () =>
          transaction(() => {
            if (newest !== (numbers().at(-1) ?? -1)) return undefined;
            rows("UPDATE save SET number = ?, manifest = ? WHERE id = ?", number(newest), manifest, id);
            return number(newest);
          }))();
        if (E.isLeft(done)) return done;
        if (done.right !== undefined) return E.right(done.right);
      }
    },
    discard: async () => void await attempt("discard", location, () => transaction(() => discard(id)))(),
  });

  const reader = (id: unknown, name: string, length: number, at: string): OpenPart["read"] => (into, position) => {
    const outside = checkRange(length, at, into, position);
    if (outside !== undefined) return TE.left(outside);
    const overlapping = "save = ? AND part = ? AND start < ? AND start + length(bytes) > ?";
    const [sql, end] = [`SELECT start, bytes FROM chunk WHERE ${overlapping}`, position + into.length];
    return pipe(
      attempt("read", at, () => rows(sql, id, name, end, position)),
      TE.chain((found) => {
        let filled = 0;
        for (const { start, bytes } of found) {
          const offset = Number(start) - position;
          const piece = (bytes as Uint8Array).subarray(Math.max(0, -offset), into.length - offset);
          into.set(piece, Math.max(0, offset));
          filled += piece.length;
        }
        // The checkpoint may have been removed since it was opened.
        return filled === into.length ? TE.right(undefined) : TE.left(storeFailed("read", at, "ETRUNC", "it is gone"));
      }),
    );
  };

  return Object.freeze<Store>({
    _tag: "Store",
    location,
    ...(options.keep && { keep: options.keep }),
    ...(options.digest && { digest: options.digest }),
    list: attempt("list", location, numbers),
    begin: attempt("begin", location, () =>
      transaction(() => {
        // Killed saves have no number. A day later no process still writes them.
        const [now, day] = [Date.now(), 86_400_000];
        for (const { id } of rows("SELECT id FROM save WHERE number IS NULL AND begun < ?", now - day)) discard(id);
        return savingOf(writer(rows("INSERT INTO save (begun) VALUES (?) RETURNING id", now)[0]!["id"]));
      })),
    manifest: ofCheckpoint((checkpoint) => async () => {
      const found = await attempt("read", locationOf(checkpoint), () => committed(checkpoint))();
      if (E.isLeft(found)) return found;
      // A driver may return null for no bytes.
      return found.right ? E.right(found.right["manifest"] as Uint8Array ?? new Uint8Array()) : none(checkpoint);
    }),
    open: ofPart((checkpoint, name) => async () => {
      const at = `${locationOf(checkpoint)}/${name}`;
      const found = await attempt("open", at, () => {
        const id = committed(checkpoint)?.["id"];
        return {
          id,
          sizes: rows("SELECT length(bytes) AS size FROM chunk WHERE save = ? AND part = ?", id ?? null, name),
        };
      })();
      if (E.isLeft(found)) return found;
      const { id, sizes } = found.right;
      if (id === undefined) return none(checkpoint);
      if (sizes.length === 0) return E.left(storeFailed("open", at, "ENOENT", "no such part"));
      const bytes = sizes.reduce((sum, { size }) => sum + Number(size), 0);
      return E.right({ bytes, read: reader(id, name, bytes, at), close: () => Promise.resolve() });
    }),
    remove: ofCheckpoint((checkpoint) =>
      attempt("remove", locationOf(checkpoint), () => transaction(() => discard(committed(checkpoint)?.["id"] ?? null)))
    ),
    locationOf,
  });
}

if (import.meta.main) {
  const store = sqlite(process.argv[2] ?? "numbers.sqlite");
  const data = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.shuffle(7), Loader.batch(2), Loader.repeat(20));
  let state = await resume(store)({
    rng: Rng.make(42),
    cursor: Loader.start(data),
    sum: 0,
    weights: new Float32Array(50_000),
  });
  for await (const [batch, cursor] of Loader.from(state.cursor)(data)) {
    const [noise, rng] = Rng.float(state.rng);
    state = { ...state, rng, cursor, sum: state.sum + noise * batch.reduce((a, b) => a + b, 0) };
    await saveState(store)(state);
    console.log("saved");
  }
  console.log(`sum ${state.sum}`);
}
