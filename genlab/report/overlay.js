"use strict";
/* Curves of several runs in the same charts: the buttons switch runs, and pointing at a run or a curve marks the run. */

const drawn = DATA.charts.map((chart) => {
  const at = make("p", {class: "soft pointed"}, "\u00a0");
  const series = chart.series.map(({run, values, steps}) => ({
    run,
    values,
    steps: steps ?? chart.steps,
    name: DATA.labels[run],
    colour: run,
  }));
  const spec = {...chart, series};
  let made = null;
  const {frame, start} = framed(spec, (step, found) => {
    const near = made?.nearest ?? null;
    const value = step === null || near === null ? undefined : found[near];
    const words = value === undefined ? "" : `: ${series[near].name}, ${shown(value)}`;
    at.textContent = step === null ? "\u00a0" : `step ${step.toLocaleString("en")}${words}`;
  });
  document.getElementById("charts").append(frame);
  frame.append(at);
  made = start();
  return {chart: made, spec};
});

function each(run, act) {
  for (const {chart, spec} of drawn) {
    const place = spec.series.findIndex((one) => one.run === run);
    if (place >= 0) act(chart, place);
  }
}

function switched(run, keys) {
  const label = DATA.labels[run];
  const button = toggle("", `Curves of ${label}`, true, (on) => each(run, (chart, place) => chart.show(place, on)));
  const key = make("span", {class: "key"});
  keys.set(run, key);
  button.append(key, label);
  const mark = (on) => each(run, (chart, place) => chart.highlight(on ? place : null));
  for (const kind of ["mouseenter", "focus"]) button.addEventListener(kind, () => mark(true));
  for (const kind of ["mouseleave", "blur"]) button.addEventListener(kind, () => mark(false));
  return button;
}

/* Gives every run the colour of its value in a column of settings, or one of its own. */
function paint(column, keys) {
  const values = DATA.plane.rows.map((row) => row[column]);
  const known = [...new Set(values)].sort((one, other) => (typeof one === "number" && typeof other === "number" ? one - other : 0));
  const number = (run) => (column < 0 ? run : known.indexOf(values[run]) % COLOURS);
  for (const [run, key] of keys) key.className = `key k${number(run) % COLOURS}`;
  for (const {chart, spec} of drawn) {
    spec.plain = column >= 0;
    for (const one of spec.series) one.colour = number(one.run);
    chart.draw();
  }
  const legend = make("span", {class: "values soft"});
  if (column >= 0) {
    known.slice(0, COLOURS).forEach((value, place) => {
      const words = value === null ? "none" : typeof value === "number" ? shown(value) : value;
      legend.append(make("span", {class: `key k${place}`}), ` ${words} `);
    });
  }
  document.querySelector("#by .values")?.remove();
  document.getElementById("by").append(legend);
}

const switches = document.getElementById("switches");
if (switches) {
  const runs = [...new Set(drawn.flatMap(({spec}) => spec.series.map(({run}) => run)))].sort((one, other) => one - other);
  const keys = new Map();
  const buttons = runs.map((run) => switched(run, keys));
  const all = (on) => {
    for (const button of buttons) if ((button.getAttribute("aria-pressed") === "true") !== on) button.click();
  };
  for (const [words, on] of [["All", true], ["None", false]]) {
    const button = make("button", {type: "button"}, words);
    button.addEventListener("click", () => all(on));
    switches.append(button);
  }
  switches.append(...buttons);

  const select = document.getElementById("colour-by");
  select.append(make("option", {value: -1}, "run"));
  const count = (column) => new Set(DATA.plane.rows.map((row) => row[column])).size;
  const settings = DATA.plane.columns.flatMap(({of}, column) => (of === "setting" && count(column) <= COLOURS ? [column] : []));
  for (const column of settings) select.append(make("option", {value: column}, DATA.plane.columns[column].name));
  select.addEventListener("change", () => paint(Number(select.value), keys));
  select.value = runs.length > COLOURS && settings.length ? settings[0] : -1;
  paint(Number(select.value), keys);
}
