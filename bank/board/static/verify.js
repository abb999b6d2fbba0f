// Recomputes, in the reader's browser, what the board says of one coin: from the log's own files, not from
// what the page says. It can't prove itself: this script comes from the board, too. Whoever doubts the board
// runs `mixmint board check-proof` instead.

import { equal, fromBase64, fromHex, toHex } from "./bytes.js";
import { coinOf, entrySigned, isMap, isVoid, keyAt, readEntry, readKeys, stateBy } from "./entries.js";
import { climbMap, readProof, stateIn } from "./map.js";
import { check, readCheckpoint, readKey, readNote } from "./note.js";
import { Steps } from "./steps.js";
import { fetchCheckpoint, Log } from "./tiles.js";

const NO_ED25519 = "Your browser can't check Ed25519 signatures; a newer one can.";

const utc = (seconds) => new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";

async function checkpoint(step, { key }) {
  const note = readNote(await fetchCheckpoint());
  const found = readCheckpoint(note.text);
  step.fact("Log", found.origin);
  step.fact("Leaves", found.size.toLocaleString("en"));
  step.fact("Root", toHex(found.root));
  const log = readKey(key);
  const { state } = await check(note, log);
  if (found.origin !== log.name) step.end("bad", `It is the checkpoint of another log, not of ${log.name}.`);
  else if (state === "holds") step.end("good", `Signed by the key of ${log.name}.`);
  else if (state === "unknown") step.end("open", NO_ED25519);
  else step.end("bad", `Not signed by the key of ${log.name}.`);
  return { note, ...found };
}

async function cosignatures(step, note, witnesses) {
  const states = [];
  for (const text of witnesses) {
    const witness = readKey(text);
    const { state, time } = await check(note, witness);
    states.push(state);
    const words = {
      holds: () => `saw it at ${utc(time)}`,
      missing: () => "hasn't signed this one",
      false: () => "its signature is false",
      unknown: () => "can't be checked here",
    };
    step.fact(witness.name, words[state]());
  }
  const seen = states.filter((state) => state === "holds").length;
  if (states.includes("false")) step.end("bad", "A witness's signature is false.");
  else if (states.includes("unknown")) step.end("open", NO_ED25519);
  else if (!seen) step.end("open", "No witness has signed this checkpoint.");
  else step.end("good", `${seen} of ${states.length} witnesses signed this checkpoint.`);
}

// Climbs from the entry to the root; whether that is the checkpoint's root.
async function leadsToRoot(step, log, bytes, index, root) {
  let [level, hash] = [0, null];
  for await (const rung of log.climb(bytes, index)) {
    hash = rung.hash;
    await step.rung(level, { side: rung.side, beside: rung.beside && toHex(rung.beside), hash: toHex(hash) });
    level += 1;
  }
  return equal(hash, root);
}

async function entry(step, log, root, index, { coin, bank, bankKeys }) {
  const bytes = await log.entry(index);
  const found = readEntry(bytes);
  step.fact("Entry", toHex(bytes));
  const about = await coinOf(found);
  const good = await entrySigned(found, keyAt(bankKeys, index), bank);
  const inLog = await leadsToRoot(step, log, bytes, index, root);
  const signer = found.kind === "spent" ? "the coin's own key" : "the bank";
  if (about !== coin) step.end("bad", "The entry is about another coin.");
  else if (!inLog) step.end("bad", "It leads to another root than the checkpoint's.");
  else if (good === false && (await isVoid(found, bankKeys, index, bank)))
    step.end("open", "Void: it is signed by a key of the bank's that was replaced. The map has it all the same.");
  else if (good === false) step.end("bad", `It isn't signed by ${signer}.`);
  else if (good === null) step.end("open", `It leads to the checkpoint's root. ${NO_ED25519}`);
  else step.end("good", `Signed by ${signer}, and it leads to the checkpoint's root.`);
  return { index, kind: found.kind };
}

async function fetchProof(coin) {
  const answer = await fetch(`/api/v1/coins/${coin}/proof`, { credentials: "omit" });
  if (answer.status === 404 || answer.status === 503) return null;
  if (!answer.ok) throw new Error(`the board answers ${answer.status} for the map's proof`);
  const { map, proof } = await answer.json();
  return map ? { index: map.index, proof: fromBase64(proof) } : null;
}

async function mapEntry(step, log, root, index) {
  const bytes = await log.entry(index);
  if (!isMap(bytes)) throw new Error("that entry isn't a map's root");
  const found = readEntry(bytes);
  step.fact("Map's root", toHex(found.root));
  const coins = found.coins.toLocaleString("en");
  if (!(await leadsToRoot(step, log, bytes, index, root))) {
    step.end("bad", "It leads to another root than the checkpoint's.");
    return null;
  }
  step.end("good", `The map of ${coins} coins, as of round ${found.round}, is in the log.`);
  return found;
}

async function mapState(step, map, proofBytes, entries, coin) {
  const proof = await readProof(proofBytes);
  const state = stateIn(proof, coin);
  let [depth, hash] = [proof.siblings.length, null];
  for await (const rung of climbMap(proof, coin)) {
    hash = rung.hash;
    await step.rung(depth, { side: rung.side, beside: rung.beside && toHex(rung.beside), hash: toHex(hash) });
    depth -= 1;
  }
  const shown = stateBy(entries.filter(({ index }) => index < map.size));
  if (!equal(hash, map.root)) step.end("bad", "It leads to another root than the map's.");
  else if (state !== shown) step.end("bad", `The map says ${state}; by the entries above it would be ${shown}.`);
  else step.end("good", `The map says: ${state}. The entries above say the same.`);
}

async function verify(steps, data) {
  const newest = await steps.run(
    "The checkpoint",
    "The board signs how long its log is, and one hash, the root, that depends on every entry in it.",
    (step) => checkpoint(step, data),
  );
  if (!newest) return;
  if (data.witnesses.length) {
    await steps.run(
      "Its witnesses",
      "Others sign what they saw, and never two roots for one size: the board can't show you a log of your own.",
      (step) => cosignatures(step, newest.note, data.witnesses),
    );
  }
  const log = new Log(newest.size);
  const entries = [];
  for (const index of data.entries) {
    const found = await steps.run(
      `Entry ${index.toLocaleString("en")}`,
      "The entry is hashed, then hashed together with the hash beside it, level by level, up to the root.",
      (step) => entry(step, log, newest.root, index, data),
    );
    if (found) entries.push(found);
  }
  await checkMap(steps, log, newest.root, entries, data.coin);
}

async function checkMap(steps, log, root, entries, coin) {
  let proof = null;
  const map = await steps.run(
    "The map of coins",
    "From time to time the board puts the root of a map into its log. The map has every coin's state: so it also " +
      "shows what isn't there.",
    async (step) => {
      proof = await fetchProof(coin);
      if (proof) return mapEntry(step, log, root, proof.index);
      step.end("open", "The board has no proof by a map now: none is in the log yet, or a new one is being made.");
      return null;
    },
  );
  if (!map) return;
  await steps.run(
    "This coin in the map",
    "The coin's place follows from its id. Its bucket is hashed, then hashed with its neighbours, up to the map's " +
      "root.",
    (step) => mapState(step, map, proof.proof, entries, fromHex(coin)),
  );
}

function verdictOf(steps) {
  if (steps.has("bad")) {
    return ["bad", "This doesn't hold. See the red step: the board shows something that it can't prove."];
  }
  if (steps.has("open")) return ["open", "What could be checked holds. What couldn't is marked above."];
  return ["good", "All of it holds: what this page says of the coin is in the signed log."];
}

async function start(view) {
  const [button, list, verdict] = ["button", ".steps", ".verdict"].map((name) => view.querySelector(name));
  button.disabled = true;
  verdict.textContent = "Checking…";
  verdict.className = "verdict";
  const { coin, key, witnesses, entries, bank, bankKeys } = view.dataset;
  const steps = new Steps(list);
  const words = (text) => text.split(" ").filter(Boolean);
  await verify(steps, {
    coin,
    key,
    witnesses: words(witnesses),
    entries: words(entries).map(Number),
    bank: fromHex(bank),
    bankKeys: readKeys(bankKeys),
  });
  const [outcome, sentence] = verdictOf(steps);
  verdict.className = `verdict ${outcome}`;
  verdict.textContent = sentence;
  button.disabled = false;
  button.textContent = "Check again";
}

for (const view of document.querySelectorAll("[data-verify]")) {
  const button = view.querySelector("button");
  const verdict = view.querySelector(".verdict");
  verdict.textContent = "";
  if (globalThis.crypto?.subtle) {
    button.disabled = false;
    button.addEventListener("click", () => start(view));
  } else {
    // Browsers give pages their cryptography only where nobody on the way can change the page.
    verdict.textContent =
      "Your browser offers its cryptography only to pages that come over https. Nothing can be checked here.";
  }
}
