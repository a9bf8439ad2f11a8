"use strict";
/* Controls and other elements. Texts are always set as text, so a name from a run can never become markup. */

function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined && value !== null) made.setAttribute(key, String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function button(text, onclick, properties = {}) {
  return element("button", {type: "button", onclick, ...properties}, text);
}

let identities = 0;

/* A control below its label. */
function labelled(text, control, properties = {}) {
  control.id ||= `control-${++identities}`;
  return element("div", {class: "control", ...properties}, element("label", {for: control.id}, text), control);
}

function choice(names, onchange, values = names) {
  const options = names.map((name, place) => element("option", {value: values[place]}, shortened(name)));
  return element("select", {onchange}, ...options);
}

/* A slider with its value beside the label. `set` changes it without an event, and widens it if it must. */
function slider(text, {low, high, step, value, oninput, digits = 2, properties = {}}) {
  const output = element("output");
  const input = element("input", {type: "range", min: low, max: high, step});
  const shown = () => { output.textContent = Number(input.value).toFixed(digits); };
  const set = (number) => {
    input.min = Math.min(low, number);
    input.max = Math.max(high, number);
    input.value = number;
    shown();
  };
  input.addEventListener("input", () => { shown(); oninput(Number(input.value)); });
  set(value);
  const node = labelled(text, input, {class: "control slider", ...properties});
  node.firstChild.append(" ", output);
  return {node, input, set};
}

function sectionOf(id, title, ...children) {
  return element("section", {id, "aria-labelledby": `${id}-title`}, element("h2", {id: `${id}-title`}, title), ...children);
}

function shortened(text, most = 40) {
  const letters = [...text];
  return letters.length > most ? `${letters.slice(0, most - 1).join("")}…` : text;
}

/* Return a function that asks with the newest value only: one question is under way at a time, and one waits. */
function latest(ask, show) {
  let busy = false, waits = null;
  return async function run(...values) {
    if (busy) { waits = values; return; }
    busy = true;
    try {
      show(await ask(...values), ...values);
    } catch (error) {
      report(error);
    } finally {
      busy = false;
      if (waits) { const newest = waits; waits = null; run(...newest); }
    }
  };
}

let connection = "";

/* Show a sentence in the status line; an empty one clears it. */
function say(text) {
  const line = document.getElementById("status");
  line.textContent = connection || text;
  line.hidden = !line.textContent;
}

function connected(text) {
  connection = text;
  say("");
}

function report(error) {
  say(error instanceof Error ? error.message : String(error));
}

function debounced(action, milliseconds = 150) {
  let timer = 0;
  return (...values) => { clearTimeout(timer); timer = setTimeout(action, milliseconds, ...values); };
}

/* A random seed, for buttons that draw something. */
function randomSeed() {
  return Math.floor(Math.random() * 2 ** 31);
}

/* A number from the standard normal distribution. */
function normal() {
  return Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
}
