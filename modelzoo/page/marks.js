// Find the marks in a photograph that may be digits, as modelzoo/data/marks.py and morphology.py do.

const WINDOWS = [12, 5, 2];  // parts of the longest side that strokes are narrower than
const LEAST_WINDOW = 15;  // pixels
const FAINTEST = 15;  // contrast, of 255; what stands out less is no ink
const DARKNESS = 48;  // grey levels, added to the light
const COMPLETE = 0.75, LINE = 0.6, PAPER = 0.65, EVEN = 0.65, CONTACT = 0.3, STRAIGHT = 5,
  OUTLINE = 3.5, TINY = 64;  // see there
const MOST_MARKS = 60;

// The largest value in a square around each pixel, or the smallest; `size` is odd. Or in a window
// along one axis: 0 is down, 1 is across.
function extremes({width, height, pixels}, size, largest, axes = [0, 1]) {
  const half = (size - 1) / 2;
  for (const axis of axes) {
    const step = axis ? 1 : width, beside = axis ? half : 0, above = axis ? 0 : half;
    const wide = width + 2 * beside, tall = height + 2 * above, all = new pixels.constructor(wide * tall);
    for (let row = 0; row < tall; row++) {
      const from = width * between(row - above, 0, height - 1), to = row * wide;
      for (let column = 0; column < beside; column++) {
        all[to + column] = pixels[from];
        all[to + beside + width + column] = pixels[from + width - 1];
      }
      all.set(pixels.subarray(from, from + width), to + beside);
    }
    for (let reach = 1; reach < size;) {  // what reaches far is made of what reaches half as far
      const more = Math.min(reach, size - reach), jump = more * step, end = all.length - jump;
      if (largest) {
        for (let at = 0; at < end; at++) if (all[at + jump] > all[at]) all[at] = all[at + jump];
      } else {
        for (let at = 0; at < end; at++) if (all[at + jump] < all[at]) all[at] = all[at + jump];
      }
      reach += more;
    }
    const found = new pixels.constructor(width * height);
    for (let row = 0; row < height; row++) {
      found.set(all.subarray(row * wide, row * wide + width), row * width);
    }
    pixels = found;
  }
  return {width, height, channels: 1, pixels};
}

// How much two pictures differ, as a share of the lighter of both: 0..255.
function contrastOf(one, other) {
  const pixels = new Uint8Array(one.pixels.length);
  for (let at = 0; at < pixels.length; at++) {
    const a = one.pixels[at], b = other.pixels[at], light = a > b ? a : b;
    pixels[at] = 255 * (light - (a > b ? b : a)) / (light + DARKNESS);  // cut off, not rounded
  }
  return {...one, pixels};
}

// Number what is connected, diagonally too, from 1; return the numbers and each one's box and peak.
function labelled(mask, contrast, width, height) {
  const labels = new Int32Array(mask.length), pieces = [null];
  for (let first = 0; first < mask.length; first++) {
    if (!mask[first] || labels[first]) continue;
    const number = pieces.length, stack = [first];
    const piece = {left: width, top: height, right: 0, bottom: 0, peak: 0};
    labels[first] = number;
    while (stack.length) {
      const at = stack.pop(), row = Math.floor(at / width), column = at % width;
      piece.left = Math.min(piece.left, column);
      piece.right = Math.max(piece.right, column + 1);
      piece.top = Math.min(piece.top, row);
      piece.bottom = Math.max(piece.bottom, row + 1);
      piece.peak = Math.max(piece.peak, contrast[at]);
      for (let down = Math.max(0, row - 1); down <= Math.min(height - 1, row + 1); down++) {
        for (let across = Math.max(0, column - 1); across <= Math.min(width - 1, column + 1); across++) {
          const next = down * width + across;
          if (!mask[next] || labels[next]) continue;
          labels[next] = number;
          stack.push(next);
        }
      }
    }
    pieces.push(piece);
  }
  return {labels, pieces};
}

// Connected ink, or pieces of it that make one mark: bounds, ink (0 or 1), outline and width of stroke.
function markOf({left, top, right, bottom}, ink, isLight, ground, evenness) {
  const width = right - left, height = bottom - top, outline = [];
  const isInk = (row, column) =>
    row >= 0 && column >= 0 && row < height && column < width && ink[row * width + column];
  let [count, ...sums] = [0, 0, 0, 0, 0, 0];
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      if (!isInk(row, column)) continue;
      count++;
      [row, column, row * row, column * column, row * column].forEach((each, at) => { sums[at] += each; });
      const isInner = isInk(row - 1, column) && isInk(row + 1, column)
        && isInk(row, column - 1) && isInk(row, column + 1);
      if (!isInner) outline.push([top + row, left + column]);
    }
  }
  const [down, across] = [sums[0] / count, sums[1] / count], share = count / Math.max(1, count - 1);
  const [a, b, c] = [sums[2] / count - down ** 2, sums[3] / count - across ** 2, sums[4] / count - down * across]
    .map(each => each * share);
  const middle = (a + b) / 2, spread = Math.hypot((a - b) / 2, c);
  const elongation = Math.sqrt((middle + spread + 1 / 12) / (Math.max(middle - spread, 0) + 1 / 12));
  return {left, top, right, bottom, width, height, side: Math.max(width, height), ink, isLight, ground,
    evenness, outline, fill: count / ink.length, elongation: count < 3 ? 1 : elongation, stroke: Math.max(1, 2 * count / outline.length)};
}

function overlapOf(one, other) {
  const height = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  const width = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const smaller = Math.min(one.height * one.width, other.height * other.width);
  return Math.max(0, height) * Math.max(0, width) / smaller;
}

// Whether two pieces are of one mark: nearly touching, or one on top of the other.
function areOneMark(one, other) {
  if (one.isLight !== other.isLight) return false;
  const taller = Math.max(one.height, other.height), stroke = Math.max(one.stroke, other.stroke);
  const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
  const union = Math.max(one.bottom, other.bottom) - Math.min(one.top, other.top);
  const isStacked = across >= Math.min(one.width, other.width) / 2 && union <= 1.8 * taller;
  let limit = 0.75 * stroke;
  if (isStacked && Math.min(one.side, other.side) > 1.5 * stroke) limit = Math.max(limit, 0.2 * taller);
  if (-across > limit || -down > limit) return false;
  const [some, others] = [one, other].map(each => each.outline.filter((_, at) => at % 2 === 0));
  return some.some(([row, column]) => others.some(([y, x]) =>
    Math.max(Math.abs(row - y), Math.abs(column - x)) - 1 <= limit));
}

function joined(one, other) {
  const top = Math.min(one.top, other.top), left = Math.min(one.left, other.left);
  const bottom = Math.max(one.bottom, other.bottom), right = Math.max(one.right, other.right);
  const ink = new Uint8Array((bottom - top) * (right - left));
  for (const each of [one, other]) {
    each.ink.forEach((value, at) => {
      const row = each.top - top + Math.floor(at / each.width);
      ink[row * (right - left) + each.left - left + at % each.width] |= value;
    });
  }
  const {ground, evenness} = other.side > one.side ? other : one;
  return markOf({left, top, right, bottom}, ink, one.isLight, ground, evenness);
}

// The share of a mark's outline that lies on the border of an image.
function contactOf({outline}, {width, height}) {
  const touches = ([row, column]) =>
    row === 0 || column === 0 || row === height - 1 || column === width - 1;
  return outline.filter(touches).length / outline.length;
}

// Whether a mark found before is a part of this one, or the ground that shows in it.
function replaces(mark, other, picture) {
  if (overlapOf(mark, other) < 0.9 || other.side > mark.side) return false;
  const isInk = mark.evenness > EVEN && contactOf(mark, picture) < CONTACT;
  return isInk && (mark.isLight === other.isLight || mark.fill < PAPER);
}

const bySide = (one, other) => other.side - one.side;
const odd = value => Math.floor(value) | 1;
function groundOf(picture, window, isLight) {
  return extremes(extremes(picture, window, !isLight), window, isLight);
}

function opened(mask, size, axis) {
  return extremes(extremes(mask, size, false, [axis]), size, true, [axis]);
}

const turned = ({width, height, pixels}) => ({width: height, height: width,
  pixels: pixels.map((_, at) => pixels[at % height * width + Math.floor(at / height)])});

// Where the contrast is larger than that of paper and noise.
function standingOut(contrast) {
  const middle = Math.floor(percentile(contrast.pixels, 0.5)), most = extentOf(contrast.pixels)[1];
  const noise = Math.floor(percentile(contrast.pixels.map(value => Math.abs(value - middle)), 0.5));
  const limit = Math.max(FAINTEST, Math.min(middle + 7 * noise, most / 2));
  return {...contrast, pixels: contrast.pixels.map(value => value > limit ? 1 : 0)};
}

// Put ground in the place of ruled and squared lines, but not of the strokes on them.
function withoutLines(picture, ground) {
  const ink = standingOut(contrastOf(picture, ground));
  const [across, down] = [linesIn(ink), turned(linesIn(turned(ink)))].map(({pixels}) => pixels);
  const part = isLine => extremes({...ink, pixels: ink.pixels.map(
    (value, at) => value && Boolean(across[at] || down[at]) === isLine ? 1 : 0)}, 3, true).pixels;
  const [lines, kept] = [part(true), part(false)];
  return {...picture, pixels: picture.pixels.map(
    (value, at) => lines[at] && !kept[at] ? ground.pixels[at] : value)};
}

// Thin lines that cross the image from left to right, but not the strokes on them.
function linesIn(mask) {
  const {width, height, pixels} = mask, thick = opened(mask, Math.max(3, odd(width / 50)), 0).pixels;
  const thin = {...mask, pixels: pixels.map((value, at) => value && !thick[at] ? 1 : 0)};
  const runs = opened(thin, Math.max(5, odd(width / 24)), 1);
  const {labels, pieces} = labelled(runs.pixels, runs.pixels, width, height);
  const lines = [];
  pieces.forEach((piece, number) => {
    if (!piece || piece.right - piece.left < Math.max(5, Math.floor(width / 12))) return;
    let [count, x, y, xx, xy] = [0, 0, 0, 0, 0];
    for (let row = piece.top; row < piece.bottom; row++) {
      for (let column = piece.left; column < piece.right; column++) {
        if (labels[row * width + column] !== number) continue;
        count++;
        x += column;
        y += row;
        xx += column * column;
        xy += column * row;
      }
    }
    const slope = (xy - x * y / count) / (xx - x * x / count);
    lines.push({...piece, number, heightAt: place => (y - slope * x) / count + slope * place});
  });
  const crossing = new Set();
  for (const line of lines) {
    let along = 0;
    for (const other of lines) {
      const gaps = [line, other].map(({left, right}) => (left + right) / 2)
        .map(place => Math.abs(line.heightAt(place) - other.heightAt(place)));
      if (Math.min(...gaps) <= 3) along += other.right - other.left;
    }
    if (along >= LINE * width) crossing.add(line.number);
  }
  const found = {...mask, pixels: pixels.map((_, at) => crossing.has(labels[at]) ? 1 : 0)};
  const wide = extremes(found, 3, true).pixels;  // with their ragged edges
  return {...mask, pixels: found.pixels.map((value, at) => value || (thin.pixels[at] && wide[at]) ? 1 : 0)};
}

// The share of each piece's surroundings that differ from it, so many pixels away: beside a stroke is
// its ground; beside what a narrow window cut out of one, it is not.
function sharpShares(picture, labels, pieces, isLight, reach) {
  const own = {...picture, pixels: labels}, size = 2 * reach + 1;
  const wide = extremes(own, size, true).pixels, near = extremes(own, size - 2, true).pixels;
  const steps = contrastOf(picture, extremes(picture, size, isLight)).pixels;
  const around = new Int32Array(pieces.length), sharp = new Int32Array(pieces.length);
  wide.forEach((label, at) => {
    if (!label || near[at]) return;
    around[label]++;
    if (steps[at] > pieces[label].peak / 2) sharp[label]++;
  });
  return pieces.map((_, number) => sharp[number] / Math.max(around[number], 1));
}

// Marks on a ground that are ink all around.
function marksOn(picture, ground, isLight) {
  const {width, height} = picture, contrast = contrastOf(picture, ground).pixels;
  const mask = standingOut({...picture, pixels: contrast});
  const all = labelled(mask.pixels, contrast, width, height);
  mask.pixels = mask.pixels.map((value, at) =>  // not what is much fainter than the ink it touches
    value && contrast[at] > all.pieces[all.labels[at]].peak / 2 ? 1 : 0);
  const {labels, pieces} = labelled(mask.pixels, contrast, width, height);
  const shares = [2, 4].map(reach => sharpShares(picture, labels, pieces, isLight, reach));
  return marksAmong(labels, pieces, {picture, contrast, isLight, ground},
    number => Math.max(...shares.map(share => share[number])) >= COMPLETE);
}

function marksAmong(labels, pieces, {picture: {width, height}, contrast, isLight, ground}, isMark) {
  const least = Math.max(3, Math.floor(Math.max(width, height) / 50)), marks = [];
  pieces.forEach((piece, number) => {
    if (!piece) return;
    const across = piece.right - piece.left, down = piece.bottom - piece.top;
    if (Math.max(across, down) < least || !isMark(number)) return;
    const ink = new Uint8Array(across * down);
    let [sum, count] = [0, 0];
    for (let at = 0; at < ink.length; at++) {
      const place = (piece.top + Math.floor(at / across)) * width + piece.left + at % across;
      if (labels[place] !== number) continue;
      ink[at] = 1;
      sum += contrast[place];
      count++;
    }
    marks.push(markOf(piece, ink, isLight, ground, sum / count / piece.peak));
  });
  return marks;
}

// Strokes on a white sheet: no light, no paper and no camera has to be thought of.
function drawnMarks(picture) {
  const ground = {...picture, pixels: new Uint8ClampedArray(picture.pixels.length).fill(255)};
  const contrast = contrastOf(picture, ground).pixels;
  const mask = contrast.map(value => value > FAINTEST ? 1 : 0);
  const {labels, pieces} = labelled(mask, contrast, picture.width, picture.height);
  return marksAmong(labels, pieces, {picture, contrast, isLight: false, ground}, () => true);
}

function photographedMarks(picture) {
  const longest = Math.max(picture.width, picture.height);
  let found = [];
  const windows = WINDOWS.map(part => Math.max(LEAST_WINDOW, odd(longest / part)));
  windows.sort((one, other) => one - other);
  picture = withoutLines(picture, groundOf(picture, windows[0], false));
  for (const window of new Set(windows)) {
    const here = [false, true].flatMap(
      isLight => marksOn(picture, groundOf(picture, window, isLight), isLight));
    for (const mark of here.sort(bySide).slice(0, MOST_MARKS)) {
      const within = found.filter(each => overlapOf(mark, each) >= 0.5);
      const parts = within.filter(each => replaces(mark, each, picture));
      if (within.every(each => parts.includes(each) || each.side < mark.side / 4)) {
        found = [...found.filter(each => !parts.includes(each)), mark];
      }
    }
  }
  return found;
}

// The marks of a reduced grey picture that may be digits, in reading order: see marks.py.
function findMarks(picture, isDrawn) {
  const found = isDrawn ? drawnMarks(picture) : photographedMarks(picture);
  const pieces = found.sort(bySide).slice(0, MOST_MARKS), marks = [];
  while (pieces.length) {
    let mark = pieces.shift();
    const near = pieces.filter(each => areOneMark(mark, each));
    if (!near.length) {
      marks.push(mark);
      continue;
    }
    for (const each of near) {
      pieces.splice(pieces.indexOf(each), 1);
      mark = joined(mark, each);
    }
    pieces.unshift(mark);
  }
  return inReadingOrder(digitsAmong(marks, picture));
}

// Those that are as high as the likeliest digit; what else the picture shows is left out.
function digitsAmong(marks, picture) {
  const orAll = (some, all) => some.length ? some : all;
  const known = marks.filter(({outline, width, height}) => outline.length <= OUTLINE * (width + height));
  const fills = ({width, height, fill}) =>
    height > 0.9 * picture.height && width > 0.9 * picture.width && fill > PAPER;
  const isTiny = Math.max(picture.width, picture.height) <= TINY;
  const free = orAll(known.filter(each => contactOf(each, picture) < CONTACT),
    known.filter(each => isTiny || fills(each)));
  const most = Math.max(...free.map(({side}) => side));
  const large = free.filter(({side}) => side >= most / 4);
  const upright = large.filter(({width, height}) => width <= 2.5 * height);
  const bent = upright.filter(({elongation}) => elongation < STRAIGHT);
  const ones = orAll(upright.filter(each => contactOf(each, picture) === 0), upright);
  if (!ones.length) return [];
  const main = orAll(bent, ones).reduce((best, each) => each.height > best.height ? each : best);
  return upright.filter(each => {
    const tall = each.height / main.height, thick = each.stroke / main.stroke;
    return each === main || (each.isLight === main.isLight && tall > 0.5 && tall < 1.6
      && thick > 0.25 && thick < (each.elongation < STRAIGHT ? 4 : 2)
      && contactOf(each, picture) === 0);
  });
}

function inReadingOrder(marks) {
  const lines = [];
  for (const mark of marks.sort((one, other) => one.top + one.bottom - other.top - other.bottom)) {
    const line = lines.find(([first]) => Math.min(mark.bottom, first.bottom)
      - Math.max(mark.top, first.top) >= Math.min(mark.height, first.height) / 2);
    if (line) line.push(mark);
    else lines.push([mark]);
  }
  return lines.flatMap(line => line.sort((one, other) => one.left - other.left));
}
