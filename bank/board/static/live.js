// The front page's live feed: new rounds as they close. Without it the page is the same, as of its loading.

const MOST_MISSED = 100;

const group = (value) => value.toLocaleString("en");
const TOTALS = {
  outstanding: "outstanding_units",
  certified: "certified_units",
  spent: "spent_units",
  coins: "coins",
  "spent-coins": "spent_coins",
  accounts: "accounts",
};

function show(id, value) {
  const place = document.getElementById(id);
  if (place) place.textContent = group(value);
}

function utc(seconds) {
  const at = new Date(seconds * 1000);
  const month = at.toLocaleString("en", { month: "short", timeZone: "UTC" });
  const clock = at.toISOString().slice(11, 19);
  return `${at.getUTCDate()} ${month} ${at.getUTCFullYear()}, ${clock}`;
}

async function fetchRounds(after, limit) {
  const answer = await fetch(`/api/v1/rounds?after=${after}&limit=${limit}`, { credentials: "omit" });
  return answer.ok ? (await answer.json()).rounds : [];
}

class Feed {
  #events = null;
  #turn = Promise.resolve();

  constructor(page) {
    this.rows = page.querySelector("tbody");
    this.most = Number(page.dataset.live);
    this.newest = Number(page.dataset.newest);
    this.button = page.querySelector("button");
    this.state = page.querySelector("[role=status]");
    this.button.hidden = false;
    this.button.addEventListener("click", () => (this.#events ? this.stop() : this.start()));
  }

  start() {
    this.#events = new EventSource("/events");
    this.#events.addEventListener("round", (event) => {
      // One after another, also while some that were missed are fetched.
      this.#turn = this.#turn.then(() => this.take(JSON.parse(event.data)));
    });
    this.#events.addEventListener("open", () => this.say("Live", "live"));
    this.#events.addEventListener("error", () => this.say("Waiting for the board", "waiting"));
    this.button.textContent = "Pause";
  }

  stop() {
    this.#events.close();
    this.#events = null;
    this.say("Paused", "");
    this.button.textContent = "Go on";
  }

  say(words, className) {
    // Only when it changes, or a screen reader would hear it every second.
    if (this.state.textContent === words) return;
    this.state.textContent = words;
    this.state.className = className;
  }

  // Rounds that closed while nobody listened (a pause, a lost connection) are fetched, if they aren't too many.
  async take(round) {
    if (round.round <= this.newest) return;
    const missed = round.round - this.newest - 1;
    if (missed > 0 && missed <= MOST_MISSED) {
      const rounds = await fetchRounds(this.newest, missed).catch(() => []);
      rounds.forEach((each) => this.addLine(each));
    } else if (missed > 0) {
      this.addWords(`${group(missed)} rounds that this page missed`);
    }
    this.newest = round.round;
    for (const [id, name] of Object.entries(TOTALS)) show(id, round.totals[name]);
    show("rounds", round.round);
    show("leaves", round.size);
    this.addLine(round);
  }

  addLine(round) {
    if (round.count) this.addRound(round);
    else this.addEmpty();
  }

  addEmpty() {
    let row = this.rows.firstElementChild;
    if (!row?.dataset.empty) {
      row = this.addWords("");
      row.dataset.empty = 0;
    }
    const count = Number(row.dataset.empty) + 1;
    row.dataset.empty = count;
    row.firstElementChild.textContent = `${group(count)} empty round${count === 1 ? "" : "s"}`;
  }

  addWords(words) {
    const row = document.createElement("tr");
    row.className = "empty";
    const cell = row.insertCell();
    cell.colSpan = 4;
    cell.textContent = words;
    this.add(row);
    return row;
  }

  addRound({ round, count, closed_at, root }) {
    const row = document.createElement("tr");
    const link = document.createElement("a");
    link.href = `/rounds/${round}`;
    link.textContent = group(round);
    row.insertCell().append(link);
    const number = row.insertCell();
    number.className = "num";
    number.textContent = group(count);
    const time = document.createElement("time");
    time.dateTime = new Date(closed_at * 1000).toISOString();
    time.textContent = utc(closed_at);
    row.insertCell().append(time);
    const hash = row.insertCell();
    hash.className = "wide";
    const code = document.createElement("code");
    code.textContent = `${root.slice(0, 16)}…`;
    hash.append(code);
    this.add(row);
  }

  add(row) {
    this.rows.prepend(row);
    // As many lines as before: the page below doesn't move.
    while (this.rows.children.length > this.most) this.rows.lastElementChild.remove();
  }
}

for (const page of document.querySelectorAll("[data-live]")) new Feed(page).start();
