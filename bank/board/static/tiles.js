// A log's own files, read over HTTP (C2SP tlog-tiles; docs/spec/log.md, section 2).

import { HASH_BYTES, number } from "./bytes.js";
import { fold, leafHash, nodeHash, nodesOf, spansBeside } from "./tree.js";

const WIDTH = 256;
const HEIGHT = 8;
const MOST_FILE_BYTES = WIDTH * (2 + 65535);

function pathOf(level, index, width) {
  const groups = [];
  let rest = index;
  do {
    groups.unshift(String(rest % 1000).padStart(3, "0"));
    rest = Math.floor(rest / 1000);
  } while (rest > 0);
  const last = groups.pop();
  const part = width < WIDTH ? `.p/${width}` : "";
  return `/tile/${level}/${groups.map((group) => `x${group}/`).join("")}${last}${part}`;
}

async function fetchBytes(path) {
  const answer = await fetch(path, { credentials: "omit" });
  if (answer.status === 404) return null;
  if (!answer.ok) throw new Error(`the board answers ${answer.status} for ${path}`);
  const bytes = new Uint8Array(await answer.arrayBuffer());
  if (bytes.length > MOST_FILE_BYTES) throw new Error(`${path} is too long`);
  return bytes;
}

export const fetchCheckpoint = async () => {
  const note = await fetchBytes("/checkpoint");
  if (note === null) throw new Error("the board has published no checkpoint yet");
  return note;
};

// The log as it was at one size. Nothing that it reads is checked here: hashes prove themselves, or don't.
export class Log {
  #files = new Map();

  constructor(size) {
    this.size = size;
  }

  async #tile(level, index) {
    const below = level === "entries" ? this.size : Math.floor(this.size / WIDTH ** level);
    const width = Math.min(WIDTH, below - WIDTH * index);
    if (width <= 0) throw new Error("the log has no such tile");
    const path = pathOf(level, index, width);
    if (!this.#files.has(path)) this.#files.set(path, this.#fetchTile(path, level, index));
    return { path, bytes: await this.#files.get(path) };
  }

  async #fetchTile(path, level, index) {
    // A partial tile is removed once the full one stands.
    const bytes = (await fetchBytes(path)) ?? (await fetchBytes(pathOf(level, index, WIDTH)));
    if (bytes === null) throw new Error(`${path} is missing`);
    return bytes;
  }

  // One entry's bytes.
  async entry(index) {
    if (index >= this.size) throw new Error("the entry isn't in the checkpoint yet; try again in a moment");
    const { path, bytes } = await this.#tile("entries", Math.floor(index / WIDTH));
    let at = 0;
    for (let before = index % WIDTH; before > 0; before -= 1) at += 2 + number(bytes, at, 2);
    const start = at + 2;
    const stop = start + number(bytes, at, 2);
    if (stop > bytes.length) throw new Error(`${path} is cut short`);
    return bytes.slice(start, stop);
  }

  // The hash of a full subtree.
  async #node({ level, index }) {
    const above = level % HEIGHT;
    const first = index * 2 ** above;
    const { path, bytes } = await this.#tile(Math.floor(level / HEIGHT), Math.floor(first / WIDTH));
    const start = (first % WIDTH) * HASH_BYTES;
    const stop = start + 2 ** above * HASH_BYTES;
    if (stop > bytes.length) throw new Error(`${path} is too short`);
    let row = [];
    for (let at = start; at < stop; at += HASH_BYTES) row.push(bytes.slice(at, at + HASH_BYTES));
    while (row.length > 1) {
      const left = row.filter((_, at) => at % 2 === 0);
      row = await Promise.all(left.map((hash, at) => nodeHash(hash, row[2 * at + 1])));
    }
    return row[0];
  }

  // From a leaf up to the root, yielding every step: { side, beside, hash }; the last hash is the root.
  async *climb(entry, index) {
    let hash = await leafHash(entry);
    yield { side: "", beside: null, hash };
    for (const span of spansBeside(index, this.size)) {
      const beside = await fold(await Promise.all(nodesOf(span).map((node) => this.#node(node))));
      const side = span.stop <= index ? "left" : "right";
      hash = await (side === "left" ? nodeHash(beside, hash) : nodeHash(hash, beside));
      yield { side, beside, hash };
    }
  }
}
