"use strict";
/* Printing: the tables of metrics are opened, and charts are drawn in the colours and the width of paper. */

const opened = new Set();

function toPaper(paper) {
  if (paper === "paper" in document.documentElement.dataset) return;
  if (paper) document.documentElement.dataset.paper = "";
  else delete document.documentElement.dataset.paper;
  for (const part of document.querySelectorAll("details[data-paper]")) {
    if (paper && !part.open) {
      opened.add(part);
      part.open = true;
    } else if (!paper && opened.delete(part)) part.open = false;
  }
  for (const chart of charts) {
    chart.paper = paper;
    chart.draw();
  }
}

addEventListener("beforeprint", () => toPaper(true));
addEventListener("afterprint", () => toPaper(false));
matchMedia("print").addEventListener("change", (event) => toPaper(event.matches));
