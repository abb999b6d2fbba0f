// Signed notes, their keys, and checkpoints (C2SP signed-note, tlog-checkpoint; docs/spec/log.md, section 3).

import { concat, equal, fromBase64, fromHex, HASH_BYTES, number, signed, utf8 } from "./bytes.js";

const LOG = 1;
const WITNESS = 4;
const DASH = "\u2014 ";

// "name+hex(id)+base64(kind || key)"
export function readKey(text) {
  const [name, id, ...rest] = text.split("+");
  const data = fromBase64(rest.join("+"));
  if (!name || data.length !== 33 || ![LOG, WITNESS].includes(data[0])) throw new Error("not a verifier key");
  return { name, id: fromHex(id), kind: data[0], public: data.subarray(1) };
}

export function readNote(bytes) {
  const whole = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const end = whole.lastIndexOf("\n\n");
  if (end < 0 || !whole.endsWith("\n")) throw new Error("the checkpoint is no signed note");
  const lines = whole.slice(end + 2, -1).split("\n");
  return { text: whole.slice(0, end + 1), signatures: lines.map(readLine) };
}

function readLine(line) {
  const at = line.indexOf(" ", DASH.length);
  if (!line.startsWith(DASH) || at < 0) throw new Error("the checkpoint has a line that is no signature");
  const data = fromBase64(line.slice(at + 1));
  if (data.length < 5) throw new Error("the checkpoint has a signature that is cut short");
  return { name: line.slice(DASH.length, at), id: data.subarray(0, 4), signature: data.subarray(4) };
}

export function readCheckpoint(text) {
  const lines = text.split("\n");
  const root = fromBase64(lines[2] ?? "");
  const size = Number(lines[1]);
  if (lines.length < 4 || !/^(0|[1-9][0-9]*)$/.test(lines[1]) || !Number.isSafeInteger(size)) {
    throw new Error("the checkpoint has no size");
  }
  if (root.length !== HASH_BYTES) throw new Error("the checkpoint has no root");
  return { origin: lines[0], size, root };
}

// How a key stands to a note: "missing" | "holds" | "false" | "unknown" (the browser can't tell), and when.
export async function check(note, key) {
  const line = note.signatures.find((each) => each.name === key.name && equal(each.id, key.id));
  if (!line) return { state: "missing" };
  let [message, signature, time] = [note.text, line.signature, null];
  if (key.kind === WITNESS) {
    time = number(signature, 0, 8);
    message = `cosignature/v1\ntime ${time}\n${note.text}`;
    signature = signature.subarray(8);
  }
  const good = await signed(key.public, signature, utf8(message));
  return { state: good === null ? "unknown" : good ? "holds" : "false", time };
}
