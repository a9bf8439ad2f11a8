"use strict";
/* An item of the user, or of the test data: reconstructed, scored, classified and encoded. */

const NAMES_OF_SCORES = {
  error: "squared error of the reconstruction", smooth: "squared error, smoothed", score: "negative score in nats",
};

/* A button that opens the file dialog. */
function filePicker(text, taken) {
  const input = element("input", {type: "file", accept: "image/*", class: "hidden", "aria-label": text, onchange: () => {
    if (input.files.length) taken(input.files[0]);
    input.value = "";
  }});
  return element("span", {}, input, button(text, () => input.click()));
}

/* Let pictures be dropped on an element. */
function dropZone(node, taken) {
  const over = (event) => { event.preventDefault(); node.classList.add("over"); };
  node.addEventListener("dragenter", over);
  node.addEventListener("dragover", over);
  node.addEventListener("dragleave", () => node.classList.remove("over"));
  node.addEventListener("drop", (event) => {
    event.preventDefault();
    node.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file) taken(file); else say("Drop a picture file.");
  });
  return node;
}

/* The ways to give one item: a file that is dropped or chosen, a text, or a random test item. */
function sourceOf(facts, taken) {
  const row = element("div", {class: "row"}), {type} = facts.kind;
  if (type === "tokens" || type === "points") {
    const input = element("input", {type: "text", autocomplete: "off", placeholder: type === "points" ? "0.5, -1.2" : ""});
    const form = element("form", {class: "row", onsubmit: (event) => { event.preventDefault(); taken({text: input.value}); }},
      labelled(type === "points" ? "Numbers of a point" : "A text", input), element("button", {type: "submit"}, "Show"));
    row.append(form);
  } else {
    row.append(element("span", {}, "Drop a picture here, or "), filePicker("Choose a picture", (file) => taken({file})));
  }
  if (facts.features.items) {
    row.append(button("Random test item", () => taken({number: Math.floor(Math.random() * facts.items)})));
  }
  return dropZone(element("div", {class: "drop"}, row), (file) => taken({file}));
}

class Examine {
  constructor(facts, codes) {
    this.facts = facts;
    this.codes = codes;
    this.noise = 0;
    this.source = null;
    this.standings = null;
    this.pictures = element("div", {class: "row top"});
    this.facts_ = element("div", {class: "found"});
    this.ask = latest(
      (source, noise) => { say("Looking…"); return backend.examine(source, noise ? {noise, seed: 0} : {}); },
      (found) => { say(""); this.show(found); });
  }

  section() {
    const take = (source) => { this.source = source; this.ask(source, this.noise); };
    const parts = [sourceOf(this.facts, take)];
    if (this.facts.features.noise) {
      parts.push(slider("Noise that is added first, as a std", {low: 0, high: 1, step: 0.05, value: 0, oninput: (noise) => {
        this.noise = noise;
        if (this.source) this.ask(this.source, noise);
      }}).node);
    }
    this.node = sectionOf("examine", "Your own picture", ...parts, this.pictures, this.facts_);
    if (this.facts.kind.type === "points") this.node.firstChild.textContent = "Your own point";
    if (this.facts.kind.type === "tokens") this.node.firstChild.textContent = "Your own text";
    return this.node;
  }

  show(found) {
    const sound = this.facts.features.sound, denoises = this.facts.features.noise;
    const shown = [[found.input, found.notes.join(". ")], [found.noisy, "with noise"],
      [found.result, denoises ? "denoised" : "reconstructed"]];
    this.pictures.replaceChildren(...shown.filter(([item]) => item).map(([item, caption]) => {
      const frame = new Frame(caption, {sound});
      frame.show(item, caption);
      return frame.node;
    }));
    this.found = found;
    this.tell();
    this.node.dataset.count = String(Number(this.node.dataset.count || 0) + 1);
  }

  tell() {
    const {found} = this, parts = [];
    if (found.scores.length) parts.push(this.scoreTable(found.scores));
    if (found.classes.length) parts.push(this.classList(found.classes));
    if (found.code && this.codes) {
      parts.push(element("div", {class: "row"}, button("Put its code into the sliders", () => {
        this.codes.take(found.code, found.label, "your item, decoded");
        document.getElementById("codes").scrollIntoView({behavior: "smooth"});
      })));
    }
    this.facts_.replaceChildren(...parts);
  }

  scoreTable(scores) {
    if (!this.standings) this.measure();
    const head = element("tr", {}, ...["Anomaly score", "Value", "Test items that score lower"].map((text, place) => element("th", {scope: "col", class: place ? "number" : ""}, text)));
    const rows = scores.map(({name, value}) => element("tr", {},
      element("th", {scope: "row"}, NAMES_OF_SCORES[name] ?? name),
      element("td", {class: "number"}, value === null ? "not finite" : value.toPrecision(4)),
      element("td", {class: "number"}, this.share(name, value))));
    return element("div", {class: "scroll"}, element("table", {class: "scores"}, element("thead", {}, head), element("tbody", {}, ...rows)));
  }

  async measure() {
    this.standings = {names: [], values: []};
    try {
      this.standings = await backend.standings();
      this.tell();
    } catch (error) {
      this.standings = null;
      report(error);
    }
  }

  share(name, value) {
    const known = this.standings.values[this.standings.names.indexOf(name)];
    if (!known || value === null) return "…";
    const lower = known.reduce((count, score) => count + (score < value ? 1 : 0), 0);
    return `${(100 * lower / known.length).toFixed(0)} %`;
  }

  classList(classes) {
    const rows = classes.map(({name, share}) => element("li", {},
      element("span", {class: "name"}, shortened(name)),
      element("meter", {min: 0, max: 1, value: share ?? 0, "aria-label": name}),
      element("span", {class: "number"}, `${(100 * (share ?? 0)).toFixed(1)} %`)));
    return element("div", {}, element("h3", {}, "Class that the model infers"), element("ul", {class: "classes"}, ...rows));
  }
}
