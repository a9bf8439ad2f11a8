"use strict";
/* A grid of samples by seed, class and truncation. */

const SAMPLES = 24;

class Samples {
  constructor(facts, codes) {
    this.facts = facts;
    this.codes = codes;
    this.settings = {seed: 0, count: SAMPLES, label: -1, truncation: 1, prior: "auto"};
    this.grid = element("div", {class: "samples"});
    this.ask = latest((settings) => backend.sample({...settings}), (found) => this.show(found));
  }

  section() {
    const {facts, settings} = this, controls = element("div", {class: "row"});
    this.seed = element("input", {type: "number", min: 0, max: 2 ** 31 - 1, step: 1, value: 0, oninput: (event) => {
      if (event.target.value !== "" && event.target.validity.valid) this.change({seed: Number(event.target.value)});
    }});
    controls.append(labelled("Seed", this.seed), button("Next seed", () => {
      this.change({seed: (settings.seed + 1) % 2 ** 31});
      this.seed.value = settings.seed;
    }));
    if (facts.drawn.length) {
      controls.append(labelled("Class", choice(["All in turn", ...facts.drawn],
        (event) => this.change({label: Number(event.target.value)}), [-1, ...facts.drawn.keys()])));
    }
    if (facts.priors.length) {
      const named = {fitted: "fitted", normal: "the model's own"};
      controls.append(labelled("Prior", choice(facts.priors.map((name) => named[name] ?? name),
        (event) => this.change({prior: event.target.value}), facts.priors)));
    }
    if (facts.features.truncation) {
      controls.append(slider("Truncation", {low: 0.1, high: 1.5, step: 0.05, value: 1,
        oninput: (truncation) => this.change({truncation})}).node);
    }
    const note = facts.features.draw && facts.kind.type !== "points" ? element("p", {class: "soft"}, `A click on a sample ${facts.features.sound ? "plays it and " : ""}puts its code into the sliders.`) : null;
    return sectionOf("samples", "Samples", controls, note, this.grid);
  }

  change(changed) {
    Object.assign(this.settings, changed);
    this.ask(this.settings);
  }

  show({items, codes, labels}) {
    const size = this.facts.size, old = [...this.grid.children];
    items.forEach((item, place) => {
      const cell = old[place] ?? this.cell(place);
      const label = labels ? labels[place] : -1, name = label >= 0 ? this.facts.drawn[label] : "";
      cell.frame.show(item, items.length === 1 && item.type === "points" ? `${item.shape[0].toLocaleString("en")} samples` : shortened(name, 24));
      cell.taken = codes && item.type !== "points" ? {code: codes.slice(place * size, (place + 1) * size), label} : null;
      cell.disabled = !cell.taken;
      cell.setAttribute("aria-label", `Sample ${place + 1}${name ? `, ${name}` : ""}${cell.taken ? ": put its code into the sliders" : ""}`);
      if (!old[place]) this.grid.append(cell);
    });
    old.slice(items.length).forEach((cell) => cell.remove());
    this.grid.dataset.seed = String(this.settings.seed);
  }

  cell(place) {
    const frame = new Frame("", {small: true});
    const cell = button("", () => {
      const told = this.facts.classes.length ? cell.taken.label : -1;
      this.codes?.take(cell.taken.code, told, `sample ${place + 1} of seed ${this.settings.seed}`);
      say("The code of the sample is in the sliders.");
    }, {class: "cell"});
    cell.append(frame.node);
    cell.frame = frame;
    if (!this.facts.features.sound) return cell;
    // A button cannot hold another one, so a sample of a sound is played by a click.
    cell.addEventListener("click", () => play(frame.item));
    return cell;
  }
}
