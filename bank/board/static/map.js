// The authenticated map: coin id -> state, under one root (docs/spec/map.md).

import { concat, equal, HASH_BYTES, sha256, toHex, utf8 } from "./bytes.js";
import { stateName } from "./entries.js";

const ID_BYTES = 32;
const RECORD_BYTES = 33;
const MOST_BUCKET = 64;
const SHARD_DEPTH = 8;
const MOST_DEPTH = 250;

const EMPTY_LABEL = utf8("mixmint/map-empty/v1");
const BUCKET_LABEL = utf8("mixmint/map-bucket/v1");
const NODE_LABEL = utf8("mixmint/map-node/v1");

const bitOf = (coin, depth) => (coin[depth >> 3] >> (7 - (depth & 7))) & 1;

// A proof's bytes: depth 1, a bit for each sibling that isn't empty, those siblings, the bucket's records.
export async function readProof(bytes) {
  const depth = bytes[0];
  if (!(depth >= SHARD_DEPTH && depth <= MOST_DEPTH)) throw new Error("the map's proof has a wrong depth");
  const empty = await sha256(EMPTY_LABEL);
  const flags = bytes.subarray(1, 1 + Math.ceil(depth / 8));
  const siblings = [];
  let at = 1 + flags.length;
  for (let each = 0; each < depth; each += 1) {
    const given = bitOf(flags, each);
    siblings.push(given ? bytes.slice(at, at + HASH_BYTES) : empty);
    at += given ? HASH_BYTES : 0;
  }
  const records = bytes.slice(at);
  if (at > bytes.length || records.length % RECORD_BYTES || records.length > MOST_BUCKET * RECORD_BYTES) {
    throw new Error("the map's proof has a wrong length");
  }
  return { siblings, records, empty };
}

// The coin's state in a bucket. Refuses a bucket that isn't sorted, or holds a coin of another path.
export function stateIn({ siblings, records }, coin) {
  let [before, state] = ["", "unknown"];
  for (let at = 0; at < records.length; at += RECORD_BYTES) {
    const id = records.subarray(at, at + ID_BYTES);
    const name = stateName(records[at + ID_BYTES]);
    const hex = toHex(id);
    if (hex <= before || !name) throw new Error("the map's bucket is out of order");
    if (siblings.some((_, depth) => bitOf(id, depth) !== bitOf(coin, depth))) {
      throw new Error("the map's bucket holds a coin of another path");
    }
    if (equal(id, coin)) state = name;
    before = hex;
  }
  return state;
}

// From the bucket up to the map's root, yielding every step as ``Log.climb`` does.
export async function* climbMap({ siblings, records, empty }, coin) {
  let hash = records.length ? await sha256(BUCKET_LABEL, records) : empty;
  yield { side: "", beside: null, hash };
  for (let depth = siblings.length - 1; depth >= 0; depth -= 1) {
    const beside = siblings[depth];
    const side = bitOf(coin, depth) ? "left" : "right";
    hash = await sha256(NODE_LABEL, ...(side === "left" ? [beside, hash] : [hash, beside]));
    yield { side, beside, hash };
  }
}
