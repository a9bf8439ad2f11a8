"use strict";
/* The path between two items through their codes. */

class Path {
  constructor(facts, codes) {
    this.facts = facts;
    this.codes = codes;
    this.at = 0.5;
    this.mode = "auto";
    this.ends = [this.end("Start"), this.end("End")];
    this.frame = new Frame("between", {sound: facts.features.sound});
    this.decode = latest((settings) => backend.between(settings), (found) => {
      this.code = found;
      this.frame.show(found.item, `${Math.round(100 * this.at)} % of the way, ${found.mode}`);
    });
  }

  end(name) {
    const frame = new Frame(name, {small: true}), {features} = this.facts;
    const end = {name, frame, code: null, label: -1};
    const buttons = element("div", {class: "row"}, button("From the sliders", () => this.fromSliders(end)));
    if (features.encode && features.items) buttons.append(button("Test item", () => this.fromData(end)));
    else if (features.draw) buttons.append(button("Sample", () => this.fromSample(end)));
    if (features.encode && features.examine && !["points", "tokens"].includes(this.facts.kind.type)) {
      buttons.append(filePicker("Your picture", (file) => this.fromFile(end, file)));
    }
    end.node = element("div", {class: "end"}, frame.node, buttons);
    return end;
  }

  section() {
    const modes = choice(["The default", "A line", "An arc"], (event) => { this.mode = event.target.value; this.show(); },
      ["auto", "linear", "spherical"]);
    const way = slider("Position", {low: 0, high: 1, step: 0.01, value: 0.5, oninput: (at) => { this.at = at; this.show(); }});
    way.input.dataset.path = "position";
    const take = button("Put this code into the sliders", () => {
      if (this.code) this.codes.take(this.code.code, this.code.label, "a place on the path, decoded");
    });
    const middle = element("div", {class: "end"}, this.frame.node, way.node, this.facts.features.arc ? labelled("Shape of the path", modes) : null, element("div", {class: "row"}, take));
    return sectionOf("path", "Path between two", element("div", {class: "ends"}, this.ends[0].node, middle, this.ends[1].node));
  }

  set(end, item, code, label, caption) {
    end.code = Float32Array.from(code);
    end.label = label;
    end.frame.show(item, `${end.name}: ${caption}`);
    this.show();
  }

  show() {
    const [start, end] = this.ends;
    if (!start.code || !end.code) return;
    this.decode({
      start: start.code, end: end.code, startLabel: start.label, endLabel: end.label, at: this.at, mode: this.mode,
    });
  }

  async fill() {
    const make = this.facts.features.encode && this.facts.features.items ? "fromData" : this.facts.features.draw ? "fromSample" : "fromSliders";
    for (const end of this.ends) await this[make](end);
  }

  async fromSliders(end) {
    const {code, label} = this.codes;
    await this.tried(async () => this.set(end, await backend.decode(code, label), code, label, "from the sliders"));
  }

  async fromData(end) {
    await this.tried(async () => {
      const {item, code, label, caption} = await backend.item(Math.floor(Math.random() * this.facts.items));
      this.set(end, item, code, label, caption);
    });
  }

  async fromSample(end) {
    await this.tried(async () => {
      const {drawn} = this.codes;
      const {items, codes} = await backend.sample({seed: randomSeed(), count: 1, label: drawn, truncation: 1, prior: "auto"});
      this.set(end, items[0], codes.subarray(0, this.facts.size), drawn, "a sample");
    });
  }

  async fromFile(end, file) {
    await this.tried(async () => {
      const {input, code, label} = await backend.examine({file}, {});
      this.set(end, input, code, label, "your picture");
    });
  }

  async tried(work) {
    try {
      say("");
      await work();
    } catch (error) {
      report(error);
    }
  }
}
