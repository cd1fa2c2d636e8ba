// The page: what is drawn or opened is answered by the chosen networks, while it is drawn. Names of
// classes and layers come from others: they become text, never HTML.

const PAUSE = 150;  // milliseconds that a slow network waits for the pen to rest
const CERTAIN = 0.6;  // a prediction whose largest probability is smaller is marked as uncertain
const MOST_BYTES = 20e6, MOST_SIDE = 2048;  // of an image file; larger images are reduced first
const STEPS_BACK = 30;
const $ = name => document.getElementById(name);
const DESCRIPTIONS = JSON.parse($("networks").textContent);
const sheet = $("sheet"), pen = sheet.getContext("2d", {willReadFrequently: true});

const bytesOf = base64 => Uint8Array.from(atob(base64), letter => letter.charCodeAt(0));

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Networks are decompressed when they are first chosen.

const networks = new Map();

function networkOf(number) {
  if (!networks.has(number)) networks.set(number, decompress(number));
  return networks.get(number);
}

async function decompress(number) {
  const stream = new Blob([bytesOf($(`weights-${number}`).textContent)]).stream()
    .pipeThrough(new DecompressionStream("gzip"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const bytes = new Uint8Array(planes.length), count = planes.length / 4;
  for (let plane = 0; plane < 4; plane++) {  // all first bytes stand first, then all second ones
    for (let at = 0; at < count; at++) bytes[4 * at + plane] = planes[plane * count + at];
  }
  return new Network(DESCRIPTIONS[number], new Float32Array(bytes.buffer));
}

// Answers.

function numberText(value) {
  return value ? String(Number(value.toPrecision(3))).replace("-", "−") : "0";
}

const unitOf = values =>
  values.every(value => value >= 0) && Math.abs(values.reduce((sum, each) => sum + each) - 1) < 1e-3
    ? "probability" : "score";
const shownValue = (value, unit) =>
  unit === "probability" ? `${(100 * value).toFixed(1)}%` : numberText(value);
const bestOf = values => values.indexOf(values.reduce((most, each) => Math.max(most, each)));

// Draw pixels of 1 or 3 channels, in 0..255, on a canvas of their size.
function paint(canvas, pixels, [height, width, channels]) {
  Object.assign(canvas, {width, height});
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * at + channel] = pixels[at * channels + (channels === 3 ? channel : 0)];
    }
    image.data[4 * at + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// The rows of a full grid of things that is at least four times as wide as high.
function rowsOf(count) {
  let rows = 1;
  for (let n = 2; 4 * n * n <= count; n++) if (count % n === 0) rows = n;
  return rows;
}

// Lay the maps of a layer side by side, with transparent gaps; units become one map. White is the
// largest value and black is 0; where there are negative values, 0 is the grey half-way.
function paintMaps(canvas, values, [height, width, maps]) {
  const [low, high] = extentOf(values), most = Math.max(-low, high, 1e-12);
  const rows = rowsOf(maps), columns = maps / rows;
  Object.assign(canvas, {width: columns * (width + 1) - 1, height: rows * (height + 1) - 1});
  const image = new ImageData(canvas.width, canvas.height);
  values.forEach((value, at) => {
    const map = at % maps, place = Math.floor(at / maps);
    const x = map % columns * (width + 1) + place % width;
    const y = Math.floor(map / columns) * (height + 1) + Math.floor(place / width);
    const grey = 255 * (low < 0 ? (value / most + 1) / 2 : value / most);
    image.data.set([grey, grey, grey, 255], 4 * (y * canvas.width + x));
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.style.width = `${canvas.width * Math.max(1, Math.min(12, Math.floor(600 / canvas.width)))}px`;
  return [low, high].map(end => numberText(Math.abs(end) < 0.0005 * most ? 0 : end));
}

// One network on the page, in three places: its prediction, its values, and what it sees.
class Answer {
  constructor(number, network) {
    const {description} = network, {title, label, classes} = description;
    Object.assign(this, {number, network, description});
    const isWide = classes.some(name => name.length > 2);
    this.headline = make("p", {className: "headline"});
    this.values = make("div", {}, make("p", {className: "note", textContent: `${label}: ${title}.`}));
    this.valuesTitle = make("h2");
    this.valuesNote = make("p", {className: "note"});
    this.bars = classes.map(name => {
      const bar = make("span"), value = make("span", {className: "value"});
      const track = make("span", {className: "track", ariaHidden: "true"}, bar);
      const row = make("li", {}, make("span", {className: "name", textContent: name}), track, value);
      return {row, bar, value};
    });
    const list = make("ol", {className: isWide ? "bars wide" : "bars"});
    list.append(...this.bars.map(({row}) => row));
    this.given = make("canvas", {role: "img"});
    this.notes = make("span");
    const given = make("div", {className: "given"}, this.given, this.notes);
    this.values.append(this.valuesTitle, this.valuesNote, list, given);

    this.details = make("div", {}, make("h2", {textContent: label}));
    this.verdict = make("p");
    this.attack = ["The image", "Its change", "The adversarial image"].map(text => {
      const canvas = make("canvas", {role: "img", ariaLabel: text}), caption = make("figcaption");
      return {canvas, caption, text, figure: make("figure", {}, canvas, caption)};
    });
    this.row = make("div", {className: "row"}, ...this.attack.map(({figure}) => figure));
    this.maps = new Map();
    const maps = make("div", {className: "maps"});
    for (const layer of description.layers.slice(description.preprocessing)) {
      if (/Dropout|GaussianNoise|Flatten/.test(layer.kind)) continue;  // they pass their input on
      const [height, width, count] = layer.output;
      const shape = layer.output.length === 3 && height * width > 1 ? layer.output : null;
      const text = shape ? `${count} maps of ${textOf(width, height)}` : `${sizeOf(layer.output)} units`;
      const canvas = make("canvas", {role: "img"}), range = make("small");
      const caption = make(
        "figcaption", {}, make("strong", {textContent: layer.name}), ` ${text} `, range);
      maps.append(make("figure", {}, caption, canvas));
      this.maps.set(layer, {canvas, range, shape, text: `${layer.name}: ${text}`});
    }
    this.details.append(
      this.verdict, this.row, make("h2", {textContent: "Feature maps of each layer"}),
      make("p", {className: "note", textContent: "In each layer, white is the largest value and "
        + "black is 0; where values are negative too, 0 is the grey half-way."}), maps);
    $("headlines").append(this.headline);
    $("values").append(this.values);
    $("details").append(this.details);
  }

  // Predict, and show the prediction; what takes longer is shown by `explain`.
  predict(image) {
    this.prepared = image && prepare(image, this.description);
    const problem = this.prepared?.problem, isAnswered = Boolean(image) && !problem;
    this.values.hidden = this.details.hidden = !isAnswered;
    if (!isAnswered) {
      this.headline.textContent = image ? `No class: ${problem}` : "Draw a digit, or choose one.";
      this.announced = this.headline.textContent;
      [this.computed, this.readings] = [null, []];
      return;
    }
    this.computed = this.network.forward(this.prepared.pixels);
    const values = this.computed.at(-1), unit = unitOf(values), best = bestOf(values);
    const {digits} = this.prepared, isNumber = digits.length > 1;
    this.readings = (isNumber ? digits : [{box: digits[0]?.box}]).map(({box, pixels}) => {
      const found = pixels && isNumber ? this.network.forward(pixels).at(-1) : values;
      const most = bestOf(found);
      return {box, name: this.description.classes[most], value: found[most]};
    });
    const parts = this.readings.map(({value}) => value), name = this.readings.map(each => each.name).join("");
    const isUncertain = unit === "probability" && Math.min(...parts) < CERTAIN;
    const whole = unit === "score" ? Math.min(...parts) : parts.reduce((all, each) => all * each);
    this.headline.replaceChildren(
      make("strong", {textContent: name}), `${unit} ${shownValue(whole, unit)} `,
      make("span", {className: "doubt", textContent: isUncertain ? "uncertain" : ""}),
      make("small", {textContent: isNumber ? " what follows is of the largest digit" : ""}));
    this.announced = `${this.description.label}: ${name}${isUncertain ? ", uncertain" : ""}`;
    const isScore = unit === "score", [low, high] = isScore ? extentOf(values) : [0, 1];
    this.valuesTitle.textContent = isScore ? "Scores" : "Probabilities";
    this.valuesNote.textContent = isScore
      ? "This network has no softmax: the largest score wins, but a score is no probability." : "";
    this.bars.forEach(({row, bar, value}, at) => {
      row.className = at === best ? "best" : "";
      bar.style.width = `${100 * (values[at] - low) / Math.max(high - low, 1e-9)}%`;
      value.textContent = shownValue(values[at], unit);
    });
  }

  explain(epsilon) {
    if (!this.computed) return;
    const {image_shape: shape, classes, differentiated, label} = this.description;
    const {pixels, notes} = this.prepared, size = textOf(shape[1], shape[0]);
    paint(this.given, pixels, shape);
    this.given.ariaLabel = `What ${label} is given: ${size} pixels`;
    this.notes.textContent = [`What the network is given: ${size} pixels`, ...notes].join("; ") + ".";
    for (const [layer, values] of this.network.features(this.computed)) {
      const shown = this.maps.get(layer);
      if (!shown) continue;
      const rows = rowsOf(values.length);
      const range = paintMaps(shown.canvas, values, shown.shape ?? [rows, values.length / rows, 1]);
      shown.range.textContent = `${layer.kind}, ${range.join(" to ")}`;
      shown.canvas.ariaLabel = `${shown.text}, ${range.join(" to ")}`;
    }
    this.row.hidden = !differentiated;
    this.verdict.textContent = differentiated ? "" : "The page has no gradient of this network.";
    if (!differentiated) return;
    const before = this.computed.at(-1), best = bestOf(before), unit = unitOf(before);
    const changed = this.network.adversarial(this.computed, best, epsilon);
    const after = this.network.forward(changed).at(-1), now = bestOf(after);
    const change = changed.map((value, at) => value - pixels[at]);
    const largest = Math.max(...extentOf(change).map(Math.abs)), factor = largest ? 127 / largest : 1;
    const shown = [pixels, change.map(value => 128 + factor * value), changed];
    const captions = [`${classes[best]}, ${shownValue(before[best], unit)}`,
      `magnified ${numberText(factor)} times`, `${classes[now]}, ${shownValue(after[now], unit)}`];
    this.attack.forEach(({canvas, caption, text}, at) => {
      paint(canvas, shown[at], shape);
      caption.textContent = `${text}: ${captions[at]}`;
      canvas.ariaLabel = `${text}: ${captions[at]}`;
    });
    this.verdict.textContent = now === best
      ? `No pixel changes by more than ${(255 * epsilon).toFixed(1)} of 255: the prediction stays.`
      : `No pixel changes by more than ${(255 * epsilon).toFixed(1)} of 255: `
        + `${classes[best]} becomes ${classes[now]}.`;
  }
}

let answers = [];
let image = null;  // an ImageData of what is on the sheet; null for an empty sheet
let [soon, later, explaining] = [null, null, 0];  // timers, and how long an explanation took

async function choose() {
  const chosen = [$("first").value, $("second").value].filter(value => value !== "").map(Number);
  const loaded = await Promise.all(chosen.map(networkOf));
  const now = [$("first").value, $("second").value].filter(value => value !== "").map(Number);
  if (String(now) !== String(chosen)) return;  // another choice came in between
  for (const place of ["headlines", "values", "details"]) $(place).replaceChildren();
  answers = chosen.map((number, at) => new Answer(number, loaded[at]));
  answer();
}

function answer() {
  soon = null;
  for (const each of answers) each.predict(image);
  $("attack").hidden = !answers.some(({computed}) => computed);
  frame(answers[0]?.readings ?? []);
  explainLater();
}

// Frame each of several digits on the sheet, with what the first network reads.
function frame(readings) {
  $("frames").replaceChildren();
  if (readings.length < 2) return;
  const scale = Math.min(sheet.width / image.width, sheet.height / image.height);
  const share = (place, side, whole) => `${100 * (scale * (place - side / 2) / whole + 0.5)}%`;
  for (const {box: [left, top, right, bottom], name} of readings) {
    const element = make("div", {}, make("span", {textContent: name}));
    Object.assign(element.style, {
      left: share(left, image.width, sheet.width), top: share(top, image.height, sheet.height),
      width: `${100 * scale * (right - left) / sheet.width}%`,
      height: `${100 * scale * (bottom - top) / sheet.height}%`});
    $("frames").append(element);
  }
}

function explainLater() {
  clearTimeout(later);
  later = setTimeout(() => {
    const began = performance.now();
    for (const each of answers) each.explain(Number($("epsilon").value));
    explaining = performance.now() - began;
    const announced = answers.map(each => each.announced).join("; ");
    if ($("status").textContent !== announced) $("status").textContent = announced;
  }, explaining > 30 ? PAUSE : 0);
}

// The sheet.

const past = [];
let isDrawing = false;
let isForeign = false;  // the sheet shows an image, which a new stroke replaces

function remember() {
  past.push({pixels: pen.getImageData(0, 0, sheet.width, sheet.height), image, isForeign});
  if (past.length > STEPS_BACK) past.shift();
}

function wipe() {
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, sheet.width, sheet.height);
  [image, isForeign] = [null, false];
  $("message").textContent = "";
}

function drawn() {
  image = Object.assign(pen.getImageData(0, 0, sheet.width, sheet.height), {isDrawn: true});
  soon ??= setTimeout(answer, 0);
}

function undo() {
  if (!past.length) return;
  const before = past.pop();
  pen.putImageData(before.pixels, 0, 0);
  ({image, isForeign} = before);
  answer();
}

function pointOf(event) {
  const box = sheet.getBoundingClientRect();
  return [(event.clientX - box.left) * sheet.width / box.width,
    (event.clientY - box.top) * sheet.height / box.height];
}

sheet.addEventListener("pointerdown", event => {
  if (event.button !== 0) return;
  sheet.setPointerCapture(event.pointerId);
  remember();
  if (isForeign) wipe();
  isDrawing = true;
  Object.assign(pen, {
    lineWidth: Number($("pen").value), lineCap: "round", lineJoin: "round", strokeStyle: "#000"});
  pen.beginPath();
  pen.moveTo(...pointOf(event));
  pen.lineTo(...pointOf(event));
  pen.stroke();
  drawn();
});
sheet.addEventListener("pointermove", event => {
  if (!isDrawing) return;
  const events = event.getCoalescedEvents?.() ?? [];
  for (const each of events.length ? events : [event]) pen.lineTo(...pointOf(each));
  pen.stroke();
  drawn();
});
for (const end of ["pointerup", "pointercancel"]) {
  sheet.addEventListener(end, () => { isDrawing = false; });
}

// Show a picture on the sheet, and answer it as it is.
function show(canvas) {
  remember();
  wipe();
  const scale = Math.min(sheet.width / canvas.width, sheet.height / canvas.height);
  const [width, height] = [canvas.width * scale, canvas.height * scale];
  pen.imageSmoothingEnabled = scale < 1;
  pen.drawImage(canvas, (sheet.width - width) / 2, (sheet.height - height) / 2, width, height);
  image = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  isForeign = true;
  answer();
}

async function open(file) {
  if (!file) return;
  $("message").textContent = "";
  if (file.size > MOST_BYTES) {
    $("message").textContent = "The file is larger than 20 MB. Make the image smaller first.";
    return;
  }
  try {
    const bitmap = await createImageBitmap(file);
    const scale = Math.min(1, MOST_SIDE / Math.max(bitmap.width, bitmap.height));
    const [width, height] = [bitmap.width, bitmap.height].map(
      side => Math.max(1, Math.round(side * scale)));
    const canvas = make("canvas", {width, height});
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
    show(canvas);
  } catch {
    $("message").textContent = "The file is not an image that this browser can read.";
  }
}

$("undo").addEventListener("click", undo);
$("clear").addEventListener("click", () => { remember(); wipe(); answer(); });
$("file").addEventListener("change", () => { open($("file").files[0]); $("file").value = ""; });
$("epsilon").addEventListener("input", () => {
  $("shown").textContent = Number($("epsilon").value).toFixed(2);
  explainLater();
});
for (const name of ["first", "second"]) $(name).addEventListener("change", choose);
document.addEventListener("dragover", event => event.preventDefault());
document.addEventListener("drop", event => {
  event.preventDefault();
  open(event.dataTransfer.files[0]);
});
document.addEventListener("paste", event => open(event.clipboardData.files[0]));
document.addEventListener("keydown", event => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
});

for (const {name, pixels} of JSON.parse($("examples-data").textContent)) {
  const canvas = make("canvas"), label = `Try a handwritten ${name}`;
  paint(canvas, bytesOf(pixels), [28, 28, 1]);
  const button = make("button", {type: "button", ariaLabel: label, title: label}, canvas);
  button.addEventListener("click", () => show(canvas));
  $("examples").append(button);
}
DESCRIPTIONS.forEach(({label}, number) => {
  for (const name of ["first", "second"]) $(name).append(make("option", {textContent: label, value: number}));
});
$("second").closest("label").hidden = DESCRIPTIONS.length < 2;
wipe();
choose();
