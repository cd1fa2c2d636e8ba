// Colours of the charts that are those of the page follow it into dark mode, but not what is written
// on cells that keep their colour.
const PAGE_COLORS = {"white": "paper", "#1a1a1a": "ink", "#5f6368": "quiet", "#d5d9dd": "line",
  "#e6e8ea": "grid", "#f5f6f7": "faint", "#a33f00": "wrong"};
const ofPage = (key, value) =>
  key !== "ink" && Object.hasOwn(PAGE_COLORS, value) ? `var(--${PAGE_COLORS[value]})` : value;

function hint(box) {
  const hints = [[box.scrollWidth > box.clientWidth + 1, "scrolls sideways \u2192"],
    [box.scrollHeight > box.clientHeight + 1, "scrolls down \u2193"]];
  box.toggleAttribute("data-hint", hints.some(([there]) => there));
  const text = hints.filter(([there]) => there).map(([, said]) => said).join(", ");
  if (text) box.dataset.hint = text;
}
const sizes = new ResizeObserver(entries => requestAnimationFrame(
  () => entries.forEach(each => hint(each.target.closest(".scroll")))));
for (const box of document.querySelectorAll(".scroll")) {
  for (const each of [box, ...box.children]) sizes.observe(each);
}

// On a narrow screen the panels of a chart go below each other: half a screen is unreadable.
for (const box of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(document.getElementById(box.dataset.chart).textContent, ofPage);
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
