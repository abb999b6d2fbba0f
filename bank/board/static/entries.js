// The entries that say something of a coin, and the board's word on its map (docs/spec/board.md).

import { concat, fromHex, number, sha256, signed, toHex, utf8 } from "./bytes.js";

const KINDS = { 3: "certified", 4: "spent", 6: "replaced", 7: "posted", 8: "map" };
const LENGTHS = { certified: 102, spent: 129, replaced: 102, posted: 102, map: 53 };

export function readEntry(bytes) {
  const kind = KINDS[bytes[0]];
  if (!kind || bytes.length !== LENGTHS[kind]) throw new Error("an entry of another kind");
  if (kind === "spent") {
    return { kind, key: bytes.slice(1, 33), seal: bytes.slice(33, 65), signature: bytes.slice(65) };
  }
  if (kind === "map") {
    const [round, size, coins] = [number(bytes, 1, 4), number(bytes, 5, 8), number(bytes, 13, 8)];
    return { kind, round, size, coins, root: bytes.slice(21) };
  }
  const [coin, value, epoch] = [bytes.slice(1, 33), bytes.slice(33, 34), bytes.slice(34, 38)];
  return { kind, coin, value, epoch, signature: bytes.slice(38) };
}

export const isMap = (bytes) => KINDS[bytes[0]] === "map";

// The id of the coin that an entry speaks of, in hexadecimal.
export const coinOf = async (entry) =>
  toHex(entry.kind === "spent" ? await sha256(utf8("mixmint/coin/v1"), entry.key) : entry.coin);

// The bank's keys, as "first leaf:key" each, ascending; and the key that counts at a leaf: the last that begins
// at or below it.
export const readKeys = (text) =>
  text.split(" ").map((one) => {
    const [from, key] = one.split(":");
    return { from: Number(from), key: fromHex(key) };
  });

export const keyAt = (keys, index) => keys.filter(({ from }) => from <= index).at(-1).key;

// Whether the bank (or for a spent coin its own key) signed it: true, false, or null: the browser can't tell.
export function entrySigned(entry, bankKey, bank) {
  if (entry.kind === "spent") {
    return signed(entry.key, entry.signature, concat(utf8("mixmint/spend/v1"), entry.seal));
  }
  const message =
    entry.kind === "replaced"
      ? concat(utf8("mixmint/replaced/v1"), bank, entry.coin, entry.value, entry.epoch)
      : concat(utf8("mixmint/certificate/v1"), bank, entry.value, entry.epoch, entry.coin);
  return signed(bankKey, entry.signature, message);
}

// Whether a key signed it that another had replaced at this leaf.
export async function isVoid(entry, keys, index, bank) {
  const counting = keyAt(keys, index);
  for (const { key } of keys.slice(0, keys.findIndex(({ key }) => key === counting))) {
    if (await entrySigned(entry, key, bank)) return true;
  }
  return false;
}

const STATES = { 1: "certified", 2: "spent", 3: "replaced" };

// What the map must say of a coin, by its entries; states only grow.
export function stateBy(entries) {
  const ranks = entries.map(({ kind }) => ({ certified: 1, posted: 1, spent: 2, replaced: 3 })[kind]);
  return STATES[Math.max(0, ...ranks)] ?? "unknown";
}

export const stateName = (number) => STATES[number];
