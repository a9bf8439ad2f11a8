"use strict";
/* The curves of one run: a chart for each term, with a button for each curve that also shows its value. */

for (const spec of DATA.charts) {
  const values = spec.series.map(() => make("span", {class: "at"}));
  const place = make("span", {class: "soft place"});
  const {frame, start} = framed(spec, (step, found) => {
    place.textContent = step === null ? "" : `step ${step.toLocaleString("en")}`;
    spec.series.forEach(({values: own}, number) => {
      const value = step === null ? own[own.length - 1] : found[number];
      values[number].textContent = value === undefined ? "" : shown(value);
    });
  });
  document.getElementById("charts").append(frame);
  const chart = start();
  const buttons = spec.series.map(({name}, number) => {
    const button = toggle("", `Curve ${name} of ${spec.title}`, true, (pressed) => chart.show(number, pressed));
    button.append(make("span", {class: `key k${number % COLOURS}`}), make("span", {}, name), values[number]);
    return button;
  });
  frame.append(make("div", {class: "legend"}, ...buttons, place));
  chart.tell(chart.plot);
}
