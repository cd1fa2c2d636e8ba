// Bring an image to what a network takes, as modelzoo/data/images.py and digit.py do, with Pillow's
// resampling to the last bit. A picture is {width, height, channels, pixels} with pixels of 0..255.

const SEARCH_SIDES = [288, 640];  // pixels; an image is reduced to this to find digits in it
const SMALL = 16;  // pixels; smaller digits are searched for in more of them
const DIGIT_SIDE = 128;  // a digit is reduced to this
const FAINT = 0.15;  // share of the strokes' contrast that belongs to the ground
const OFF_CENTRE = 2.5 / 28;  // of a side; MNIST's digits are nearer to the centre
const LEAST_CONTRAST = 12;  // grey levels; below this an image is taken as blank
const LIGHT = 160;  // luma from which content counts as light, and needs a dark ground to be seen

// Python rounds halves to the even number.
function rounded(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 !== 0 ? up - 1 : up;
}

// Return what stands at a place, from 0, of whole numbers of 0..255 in their order.
function sortedValue(counts, place) {
  let value = 0;
  for (let below = counts[0]; below <= place; below += counts[value]) value++;
  return value;
}

function countsOf(values) {
  const counts = new Uint32Array(256);
  for (const value of values) counts[value]++;
  return counts;
}

function percentile(values, share) {
  const counts = countsOf(values), last = values.length - 1, place = share * last;
  const below = sortedValue(counts, Math.floor(place));
  const next = sortedValue(counts, Math.min(Math.floor(place) + 1, last));
  return below + (next - below) * (place - Math.floor(place));
}

const lumaOf = (red, green, blue) => (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16;
const textOf = (width, height) => `${width}x${height}`;

// Return an ImageData as a picture of 1 channel if it is grey, else 3; transparency is put on white,
// or on black if white would hide the content.
function pictureOf({width, height, data}) {
  const notes = [], count = width * height;
  let isOpaque = true, isGrey = true, ground = 255;
  for (let at = 0; at < data.length; at += 4) {
    isOpaque &&= data[at + 3] === 255;
    isGrey &&= data[at] === data[at + 1] && data[at] === data[at + 2];
  }
  if (!isOpaque) {
    const visible = [];
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] >= 128) visible.push(lumaOf(data[at], data[at + 1], data[at + 2]));
    }
    if (visible.length && percentile(visible, 0.05) >= LIGHT) ground = 0;
    notes.push(`transparency put on ${ground ? "white" : "black, since its content is light"}`);
  }
  const channels = isGrey ? 1 : 3, pixels = new Uint8ClampedArray(count * channels);
  for (let place = 0; place < count; place++) {
    const share = data[4 * place + 3] / 255;
    for (let channel = 0; channel < channels; channel++) {
      pixels[place * channels + channel] =
        data[4 * place + channel] * share + ground * (1 - share);
    }
  }
  return {width, height, channels, pixels, notes};
}

function greyOf({width, height, channels, pixels}) {
  const grey = new Uint8ClampedArray(width * height);
  for (let at = 0; at < grey.length; at++) {
    const from = at * channels;
    grey[at] = channels === 1 ? pixels[from] : lumaOf(...pixels.subarray(from, from + 3));
  }
  return {width, height, channels: 1, pixels: grey};
}

const inverted = picture => ({...picture, pixels: picture.pixels.map(value => 255 - value)});

function cropped({width, channels, pixels}, left, top, right, bottom) {
  const found = new Uint8ClampedArray((right - left) * (bottom - top) * channels);
  for (let row = top; row < bottom; row++) {
    const line = pixels.subarray((row * width + left) * channels, (row * width + right) * channels);
    found.set(line, (row - top) * (right - left) * channels);
  }
  return {width: right - left, height: bottom - top, channels, pixels: found};
}

const FILTERS = {
  box: {support: 0.5, weigh: x => x > -0.5 && x <= 0.5 ? 1 : 0},
  bilinear: {support: 1, weigh: x => Math.max(1 - Math.abs(x), 0)},
};

// Pillow's resampling of one axis: for each new pixel the first old one, and weights of 22 bits.
function weightsOf(size, from, to, newSize, {support, weigh}) {
  const scale = (to - from) / newSize, stretch = Math.max(scale, 1);
  return Array.from({length: newSize}, (_, at) => {
    const centre = from + (at + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support * stretch + 0.5), 0);
    const end = Math.min(Math.trunc(centre + support * stretch + 0.5), size);
    const weights = [];
    for (let place = first; place < end; place++) weights.push(weigh((place - centre + 0.5) / stretch));
    const total = weights.reduce((sum, each) => sum + each, 0);
    return {first, weights: weights.map(each => Math.trunc(0.5 + each / total * 2 ** 22))};
  });
}

// Resize the part of a picture within box, (left, top, right, bottom), first across, then down.
function resized(picture, width, height, filter, box = [0, 0, picture.width, picture.height]) {
  const {channels} = picture;
  const across = weightsOf(picture.width, box[0], box[2], width, FILTERS[filter]);
  const down = weightsOf(picture.height, box[1], box[3], height, FILTERS[filter]);
  const half = new Uint8ClampedArray(width * picture.height * channels);
  const pixels = new Uint8ClampedArray(width * height * channels);
  const weighed = (values, start, step, weights) => {
    let sum = 2 ** 21;
    for (let at = 0; at < weights.length; at++) sum += weights[at] * values[start + at * step];
    return sum >> 22;
  };
  for (let at = 0; at < half.length; at++) {
    const channel = at % channels, column = Math.floor(at / channels) % width;
    const row = Math.floor(at / channels / width), {first, weights} = across[column];
    const start = (row * picture.width + first) * channels + channel;
    half[at] = weighed(picture.pixels, start, channels, weights);
  }
  for (let at = 0; at < pixels.length; at++) {
    const line = width * channels, {first, weights} = down[Math.floor(at / line)];
    pixels[at] = weighed(half, first * line + at % line, line, weights);
  }
  return {width, height, channels, pixels};
}

function reduced(picture, side) {
  const longest = Math.max(picture.width, picture.height);
  if (longest <= side) return picture;
  const scaled = each => Math.max(1, rounded(each * side / longest));
  return resized(picture, scaled(picture.width), scaled(picture.height), "box");
}

// The values of a channel in a frame that is a twentieth of the side wide.
function borderOf({width, height, channels, pixels}, channel = 0) {
  const edge = Math.max(1, Math.floor(Math.min(width, height) / 20)), found = [];
  for (let row = 0; row < height; row++) {
    const isInside = row >= edge && row < height - edge;
    for (let column = 0; column < width; column++) {
      if (isInside && column >= edge && column < width - edge) continue;
      found.push(pixels[(row * width + column) * channels + channel]);
    }
  }
  return found;
}

function extentOf(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function hasLightGround(grey) {
  const small = reduced(grey, SEARCH_SIDES[0]), [low, high] = extentOf(small.pixels);
  return percentile(borderOf(small), 0.5) > (high === low ? 127.5 : (low + high) / 2);
}

// Whether the centre of mass is near the middle, as in each image of MNIST.
function isCentred(grey) {
  const ground = percentile(borderOf(grey), 0.5);
  const [across, down] = centreOf({...grey, pixels: Float64Array.from(grey.pixels, value => Math.abs(value - ground))});
  const gaps = [across / grey.width - 0.5, down / grey.height - 0.5].map(Math.abs);
  return Number.isNaN(across) || Math.max(...gaps) <= OFF_CENTRE;
}

function centreOf({width, pixels}) {
  let [total, down, across] = [0, 0, 0];
  pixels.forEach((value, at) => {
    total += value;
    down += value * Math.floor(at / width);
    across += value * (at % width);
  });
  return [across / total, down / total];
}

// Return [left, top, right, bottom] of the values above a limit.
function boundsOf(level, width, limit) {
  let left = Infinity, top = Infinity, right = 0, bottom = 0;
  for (let at = 0; at < level.length; at++) {
    if (level[at] <= limit) continue;
    const row = Math.floor(at / width), column = at % width;
    if (column < left) left = column;
    if (column >= right) right = column + 1;
    if (row < top) top = row;
    bottom = row + 1;
  }
  return [left, top, right, bottom];
}

// Find digits, and scale and centre each as MNIST's were: strokes on black in a box of 20/28 of each
// side, with their centre of mass in the middle; in reading order.
function findDigits(grey, height, width, isDrawn) {
  let working, marks;
  for (const side of SEARCH_SIDES) {
    working = reduced(grey, side);
    marks = findMarks(working, isDrawn);
    if (side >= Math.max(grey.width, grey.height) || marks.some(mark => mark.side >= SMALL)) break;
  }
  const [across, down] = [grey.width / working.width, grey.height / working.height];
  return marks.flatMap(mark => {
    const strokes = strokesOf(grey, mark, across), {isLight} = mark;
    if (!strokes) return [];
    const box = [mark.left * across, mark.top * down, mark.right * across, mark.bottom * down];
    const digit = centred(intoBox(strokes, height, width), height, width);
    return [{...digit, isLight, box: box.map(rounded)}];
  });
}

// Cut a mark out of the image: its contrast to the ground, where ink was found.
function strokesOf(grey, mark, scale) {
  const {ground} = mark, margin = 2 + Math.floor(mark.side / 10);
  const [left, top] = [Math.max(0, mark.left - margin), Math.max(0, mark.top - margin)];
  const right = Math.min(ground.width, mark.right + margin);
  const bottom = Math.min(ground.height, mark.bottom + margin);
  const pixels = reduced(cropped(grey, Math.trunc(left * scale), Math.trunc(top * scale),
    Math.min(Math.trunc(right * scale) + 1, grey.width),
    Math.min(Math.trunc(bottom * scale) + 1, grey.height)), DIGIT_SIDE);
  const near = {width: right - left, height: bottom - top, channels: 1};
  near.pixels = new Uint8ClampedArray(near.width * near.height);
  mark.ink.forEach((value, at) => {
    const row = mark.top - top + Math.floor(at / mark.width);
    near.pixels[row * near.width + mark.left - left + at % mark.width] = 255 * value;
  });
  const [within, paper] = [extremes(near, 5, true), cropped(ground, left, top, right, bottom)]
    .map(each => resized({...each, channels: 1}, pixels.width, pixels.height, "bilinear").pixels);
  const {isLight} = mark, shares = contrastOf(pixels, {pixels: paper}).pixels;
  const contrast = shares.map((share, at) => isLight ? pixels.pixels[at] - paper[at] : share).map((value, at) =>
    within[at] > 127 && (pixels.pixels[at] > paper[at]) === isLight ? value : 0);
  // Not the very strongest, which may be dust; but a thin pen covers few pixels.
  const most = Math.max(1, sortedValue(countsOf(contrast), contrast.length - Math.min(5, contrast.length)));
  const strokes = {...pixels, pixels: Uint8ClampedArray.from(contrast, value =>
    value / most > FAINT ? rounded(Math.min(255 * value / most, 255)) : 0)};
  const level = Float64Array.from(contrast, value => value / most);
  if (!level.some(value => value > 2 * FAINT)) return null;
  return cropped(strokes, ...boundsOf(level, pixels.width, 2 * FAINT));
}

function intoBox(strokes, height, width) {
  const [tall, wide] = [rounded(height * 20 / 28), rounded(width * 20 / 28)];
  const scale = Math.min(tall / strokes.height, wide / strokes.width);
  const scaled = each => Math.max(1, rounded(each * scale));
  const small = resized(strokes, scaled(strokes.width), scaled(strokes.height), "bilinear");
  const most = Math.max(extentOf(small.pixels)[1], 1);  // a thin pen must not become a faint one
  return {...small, pixels: Float64Array.from(small.pixels, value => value * (255 / most))};
}

function centred(strokes, height, width) {
  const pixels = new Uint8ClampedArray(height * width);
  const [across, down] = centreOf(strokes);
  const top = rounded(between(height / 2 - down, 0, height - strokes.height));
  const left = rounded(between(width / 2 - across, 0, width - strokes.width));
  strokes.pixels.forEach((value, at) => {
    const row = top + Math.floor(at / strokes.width);
    pixels[row * width + left + at % strokes.width] = rounded(value);
  });
  return {width, height, channels: 1, pixels};
}

// Bring a picture that shows something other than a digit to a size.
function fitted(picture, width, height, fit) {
  const change = `resized from ${textOf(picture.width, picture.height)} to ${textOf(width, height)}`;
  const isWider = picture.width * height - picture.height * width;
  if (fit === "stretch" || isWider === 0) {
    const note = isWider === 0 ? change : `${change} without keeping the aspect ratio`;
    return [resized(picture, width, height, "bilinear"), note];
  }
  if (fit === "cover") {
    const kept = isWider > 0 ? [width / height * picture.height, picture.height]
      : [picture.width, picture.width / (width / height)];
    const [left, top] = [(picture.width - kept[0]) / 2, (picture.height - kept[1]) / 2];
    const box = [left, top, left + kept[0], top + kept[1]];
    const sides = isWider > 0 ? "left and right" : "top and bottom";
    return [resized(picture, width, height, "bilinear", box), `${change}, ${sides} cut off`];
  }
  const {channels} = picture, scale = Math.min(width / picture.width, height / picture.height);
  const scaled = each => Math.max(1, rounded(each * scale));
  const inner = resized(picture, scaled(picture.width), scaled(picture.height), "bilinear");
  const colour = Array.from({length: channels}, (_, channel) =>
    rounded(percentile(borderOf(picture, channel), 0.5)));
  const pixels = Uint8ClampedArray.from(
    {length: width * height * channels}, (_, at) => colour[at % channels]);
  const [left, top] = [Math.floor((width - inner.width) / 2), Math.floor((height - inner.height) / 2)];
  for (let row = 0; row < inner.height; row++) {
    const line = inner.width * channels, place = ((top + row) * width + left) * channels;
    pixels.set(inner.pixels.subarray(row * line, (row + 1) * line), place);
  }
  return [{width, height, channels, pixels}, `${change}, padded with the colour of its border`];
}

// Return the pixels (0..255) that a network takes, what was done to the image, and why it shows
// nothing, if it does; of several digits each one's pixels and box, in reading order, and as `pixels`
// those of the largest. `image_shape` is (height, width, channels).
function prepare(imageData, {image_shape: [height, width, channels], fit, ink}) {
  let picture = pictureOf(imageData);
  const {notes} = picture, isExact = picture.width === width && picture.height === height;
  const size = textOf(picture.width, picture.height), grey = greyOf(picture);
  const isDigit = fit === "digit" && !(isExact && isCentred(grey));
  const withChannels = ({channels: own, pixels}) => Uint8ClampedArray.from(
    {length: height * width * channels}, (_, at) => pixels[Math.floor(at * own / channels)]);
  if (picture.channels === 3 && (channels === 1 || (fit === "digit" && !isExact))) {
    picture = grey;
    notes.push("colour converted to grey");
  }
  const isTurned = "inverted: dark strokes on a light background";
  const digits = (isDigit ? findDigits(grey, height, width, imageData.isDrawn) : []).map(digit => ({
    ...digit, pixels: withChannels(digit.isLight || ink === "light" ? digit : inverted(digit))}));
  if (digits.length) {
    if (digits.length > 1) notes.push(`${digits.length} digits found`);
    notes.push(`digit cut out of ${size}, levelled, scaled and centred in ${textOf(width, height)}`);
    if (ink === "light" && !digits[0].isLight) notes.push(isTurned);
    const tall = ({box}) => box[3] - box[1];
    const {pixels} = digits.reduce((best, each) => tall(each) > tall(best) ? each : best);
    return {pixels, notes, problem: "", digits};
  }
  const noInk = "no ink found: the image is blank";
  if (isDigit && !isExact) {
    return {pixels: new Uint8ClampedArray(height * width * channels), notes, problem: noInk, digits};
  }
  if (!isExact) {
    const [found, note] = fitted(picture, width, height, fit);
    picture = found;
    notes.push(note);
  }
  if (ink === "light" && hasLightGround(greyOf(picture))) {
    picture = inverted(picture);
    notes.push(isTurned);
  }
  const pixels = withChannels(picture);
  const contrast = Math.max(...Array.from({length: channels}, (_, channel) => {
    const [low, high] = extentOf(pixels.filter((_, at) => at % channels === channel));
    return high - low;
  }));
  const isBlank = fit === "digit" && contrast < LEAST_CONTRAST;
  return {pixels, notes, problem: isBlank ? noInk : contrast ? "" : "all pixels are equal", digits};
}
