"use strict";
/* The code that is being looked at, its sliders, and the item that it decodes to. */

const FIRST_SLIDERS = 12, FIRST_ATTRIBUTES = 8;

class Codes {
  constructor(facts) {
    this.facts = facts;
    this.base = new Float32Array(facts.size);
    this.label = facts.classes.length ? 0 : -1;
    this.added = [];
    this.sliders = [];
    this.watchers = [];
    this.frame = new Frame("decoded", {sound: facts.features.sound});
    this.frame.node.classList.add("large");
    this.decode = latest((code, label) => backend.decode(code, label), (item) => {
      this.frame.show(item, this.why);
      this.frame.canvas.dataset.count = String(Number(this.frame.canvas.dataset.count || 0) + 1);
    });
    this.why = "decoded";
  }

  /* The code of the sliders with the attributes added. */
  get code() {
    const code = Float32Array.from(this.base);
    for (const {strength, direction} of this.added) {
      if (strength) direction.forEach((value, unit) => { code[unit] += strength * value; });
    }
    return code;
  }

  changed() {
    const code = this.code;
    this.decode(code, this.label);
    for (const watcher of this.watchers) watcher(code);
  }

  /* Put a code into the sliders, with the class of its item if the decoder is told classes. */
  take(code, label, why) {
    this.base = Float32Array.from(code);
    if (this.classes && label >= 0) {
      this.label = label;
      this.classes.value = String(label);
    }
    for (const each of this.added) { each.strength = 0; each.slider.set(0); }
    for (const {unit, set} of this.sliders) set(this.base[unit]);
    this.why = why;
    this.changed();
  }

  section() {
    const {facts} = this, controls = element("div", {class: "row"});
    if (facts.classes.length) {
      this.classes = choice(facts.classes, (event) => {
        this.label = Number(event.target.value);
        this.changed();
      }, facts.classes.map((_, number) => number));
      controls.append(labelled("Class", this.classes));
    }
    controls.append(
      button("Reset", () => this.units && this.take(this.units.start, -1, this.begun)),
      button("Random", () => this.random()),
    );
    this.list = element("div", {class: "sliders"}, element("p", {class: "soft"}, "Measuring the numbers of the code…"));
    this.attributes = element("div");
    const left = element("div", {class: "stay"}, this.frame.node, controls);
    return sectionOf("codes", "Change the code", element("div", {class: "bench"}, left, element("div", {}, this.attributes, this.list)));
  }

  async fill() {
    this.units = await backend.units();
    const {order, captions, centre, std, start} = this.units;
    const rows = Array.from(order, (unit, place) => this.unit(unit, captions[place], centre[unit], std[unit]));
    const {encode, items} = this.facts.features, measured = items || !(encode || this.facts.kind.type === "points");
    const title = measured ? "Numbers of the code, the most important first" : "Numbers of the code";
    this.list.replaceChildren(element("h3", {}, title), folded(rows, FIRST_SLIDERS, "numbers"));
    if (order.length < this.facts.size) {
      const rest = (this.facts.size - order.length).toLocaleString("en");
      this.list.append(element("p", {class: "soft"}, `The other ${rest} numbers change less and have no slider.`));
    }
    this.begun = encode && items ? "a test item, decoded" : "decoded";
    this.take(start, -1, this.begun);
    if (this.classes && encode && items) this.begin();
  }

  /* Begin with the class that fits the first code. */
  async begin() {
    const {code, label} = await backend.item(0);
    if (!code) return;
    this.units.start = code;
    this.take(code, label, this.begun);
  }

  unit(unit, caption, centre, std) {
    const made = slider(caption, {
      low: centre - 3 * std, high: centre + 3 * std, step: "any", value: centre,
      oninput: (value) => { this.base[unit] = value; this.why = "decoded"; this.changed(); },
    });
    made.input.dataset.unit = String(unit);
    this.sliders.push({unit, set: made.set});
    return made.node;
  }

  async random() {
    try {
      const {features, size} = this.facts;
      if (features.draw) {
        const {codes} = await backend.sample({seed: randomSeed(), count: 1, label: this.drawn, truncation: 1, prior: "auto"});
        this.take(codes.subarray(0, size), -1, "a random code, decoded");
      } else if (this.units) {
        const {centre, std} = this.units;
        this.take(centre.map((value, unit) => value + std[unit] * normal()), -1, "a random code, decoded");
      }
    } catch (error) {
      report(error);
    }
  }

  /* The class of a random code: the one that is chosen, if samples are told classes too. */
  get drawn() {
    return this.facts.drawn.length && this.facts.classes.length ? this.label : -1;
  }

  async fillAttributes() {
    this.attributes.replaceChildren(element("p", {class: "soft"}, "Learning the attributes from the training items…"));
    let found = [];
    try {
      found = await backend.directions();
    } finally {
      this.attributes.replaceChildren();
    }
    if (!found.length) return;
    const rows = found.map(({group, value, direction}) => {
      const text = group === "label" ? `class ${value}` : value && value !== "yes" ? `${group}: ${value}` : group;
      const each = {strength: 0, direction, slider: null};
      each.slider = slider(shortened(text), {
        low: -3, high: 3, step: 0.05, value: 0, digits: 2,
        oninput: (strength) => { each.strength = strength; this.changed(); },
      });
      each.slider.input.dataset.attribute = text;
      this.added.push(each);
      return each.slider.node;
    });
    this.attributes.replaceChildren(element("h3", {}, "Attributes"), folded(rows, FIRST_ATTRIBUTES, "attributes"));
  }
}

/* The first rows, and a fold with the others. */
function folded(rows, most, what) {
  const first = element("div", {class: "grid"}, ...rows.slice(0, most));
  if (rows.length <= most) return first;
  const rest = element("details", {}, element("summary", {}, `${rows.length - most} more ${what}`),
    element("div", {class: "grid"}, ...rows.slice(most)));
  return element("div", {}, first, rest);
}
