// On a narrow screen the panels of a chart go below each other: half a screen is unreadable.
for (const box of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(document.getElementById(box.dataset.chart).textContent);
  const room = box.parentElement.clientWidth;
  spec.padding = 2;  // the page has margins of its own
  if (spec.hconcat && room < 720) {
    spec.vconcat = spec.hconcat.map(panel => ({...panel, width: Math.min(panel.width, room - 75)}));
    delete spec.hconcat;
  }
  vegaEmbed(box, spec, {mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false})
    .catch(error => { box.textContent = "This chart could not be drawn: " + error; console.error(error); });
}
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
