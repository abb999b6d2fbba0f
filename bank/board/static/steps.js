// The verify view's drawing: a list of steps, each with what it found. Text only: nothing is read as HTML.

const OUTCOMES = { good: "holds", bad: "does not hold", open: "not checked" };

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
const pause = (ms) => (calm() ? Promise.resolve() : new Promise((done) => setTimeout(done, ms)));

class Step {
  #item = element("li", "step working");
  #outcome = element("span", "outcome", "…");
  #facts = null;
  #path = null;
  outcome = "open";

  constructor(list, title, why) {
    const head = element("h3", "", title);
    head.append(" ", this.#outcome);
    this.#item.append(head, element("p", "why", why));
    list.append(this.#item);
  }

  fact(name, value) {
    if (!this.#facts) {
      this.#facts = element("dl", "facts");
      this.#item.append(this.#facts);
    }
    const row = element("div");
    const said = element("dd");
    said.append(element("code", "", value));
    row.append(element("dt", "", name), said);
    this.#facts.append(row);
  }

  // One line of a climb from a leaf to a root.
  async rung(number, { side, beside, hash }) {
    if (!this.#path) this.#path = this.#table();
    const row = element("tr");
    const head = element("th", "", String(number));
    head.scope = "row";
    row.append(head, element("td", "", side));
    for (const value of [beside ?? "", hash]) {
      const cell = element("td");
      cell.append(element("code", "cut", value));
      row.append(cell);
    }
    this.#path.append(row);
    await pause(35);
  }

  #table() {
    const table = element("table", "climb");
    const head = element("tr");
    for (const name of ["Level", "Side", "Hash beside", "Hashed together"]) {
      const cell = element("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const body = element("tbody");
    const top = element("thead");
    top.append(head);
    table.append(top, body);
    this.#item.append(table);
    return body;
  }

  end(outcome, sentence) {
    this.outcome = outcome;
    this.#item.className = `step ${outcome}`;
    this.#outcome.textContent = OUTCOMES[outcome];
    this.#item.append(element("p", "said", sentence));
  }
}

export class Steps {
  #list;
  #steps = [];

  constructor(list) {
    this.#list = list;
    list.replaceChildren();
  }

  // Do one step; whatever goes wrong in it is its outcome, and the next step comes all the same.
  async run(title, why, work) {
    const step = new Step(this.#list, title, why);
    this.#steps.push(step);
    await pause(120);
    try {
      return await work(step);
    } catch (error) {
      // fetch says TypeError when nobody answers: that proves nothing, neither way.
      if (error instanceof TypeError) step.end("open", "The board didn't answer. Try again.");
      else step.end("bad", `This can't be right: ${error.message}.`);
      return null;
    }
  }

  has(outcome) {
    return this.#steps.some((step) => step.outcome === outcome);
  }
}
