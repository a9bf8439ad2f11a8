"use strict";
/* Puts the sections of the page together, each if the model can do what it shows. */

async function start() {
  const facts = await backend.facts(), {features} = facts, main = document.getElementById("sections");
  document.title = `${facts.name}: genlab explore`;
  document.getElementById("title").textContent = facts.name;
  document.getElementById("about").textContent = facts.about.join(", ");
  backend.onstatus(connected);
  if (features.background) {
    backend.background().then((item) => { backgroundPoints = item; drawPlotsAgain(); }, report);
  }
  const codes = features.decode ? new Codes(facts) : null, map = features.map ? new CodeMap(facts, codes) : null;
  const path = features.path ? new Path(facts, codes) : null, samples = features.sample ? new Samples(facts, codes) : null;
  const examine = features.examine ? new Examine(facts, codes) : null, upscale = features.upscale ? new Upscale(facts) : null;
  const shown = [codes, map, samples, examine, path, upscale].filter(Boolean);
  main.replaceChildren(...shown.map((part) => part.section()));
  if (!shown.length) main.append(element("p", {}, "This model can do nothing that this page shows."));
  samples?.change({});
  if (upscale && features.items) upscale.ask({number: 0});
  // What takes a moment comes one after the other, the most important first.
  for (const work of [() => codes?.fill(), () => path?.fill(), () => map?.load(facts.maps[0]), () => features.directions && codes.fillAttributes()]) {
    try { await work(); } catch (error) { report(error); }
  }
  document.body.dataset.ready = "yes";
}

// A picture that is dropped beside its place must not replace the page.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

start().catch(report);
