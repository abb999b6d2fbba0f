// The Merkle tree of RFC 6962: which hashes prove that a leaf is in it (docs/spec/log.md, section 1).

import { sha256 } from "./bytes.js";

const LEAF = Uint8Array.of(0);
const INNER = Uint8Array.of(1);

export const leafHash = (entry) => sha256(LEAF, entry);

export const nodeHash = (left, right) => sha256(INNER, left, right);

function largestPowerBelow(size) {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}

// The subtrees beside the way from a leaf up to the root, as { start, stop } of the leaves they cover.
export function spansBeside(index, size) {
  if (!(index >= 0 && index < size)) throw new Error("the log has no such entry");
  const spans = [];
  let [start, stop] = [0, size];
  while (stop - start > 1) {
    const middle = start + largestPowerBelow(stop - start);
    if (index < middle) {
      spans.push({ start: middle, stop });
      stop = middle;
    } else {
      spans.push({ start, stop: middle });
      start = middle;
    }
  }
  return spans.reverse();
}

// The full subtrees (level, index) that a span consists of, left to right.
export function nodesOf({ start, stop }) {
  const nodes = [];
  for (let at = start; at < stop; ) {
    let [level, width] = [0, 1];
    while (width * 2 <= stop - at && at % (width * 2) === 0) {
      level += 1;
      width *= 2;
    }
    nodes.push({ level, index: at / width });
    at += width;
  }
  return nodes;
}

// The root over subtrees that stand side by side, the largest first.
export async function fold(hashes) {
  let root = hashes[hashes.length - 1];
  for (let at = hashes.length - 2; at >= 0; at -= 1) root = await nodeHash(hashes[at], root);
  return root;
}
