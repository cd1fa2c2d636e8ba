// A network as the package describes it, computed for one image: forward, with the outputs of every
// layer, and the derivative by the image. Maps are Float32Array, channels last; sums are made in
// float64. The formulas are those of modelzoo/networks/reference, and tests compare both.
"use strict";

const sizeOf = shape => shape.reduce((product, side) => product * side, 1);

// Add rows of a matrix, each times its factor, to sums: four at once, because a pass over the sums
// takes as long as a pass over a row.
function addRows(sums, matrix, starts, factors, count) {
  const width = sums.length;
  let at = 0;
  for (; at + 4 <= count; at += 4) {
    const a = starts[at], b = starts[at + 1], c = starts[at + 2], d = starts[at + 3];
    const p = factors[at], q = factors[at + 1], r = factors[at + 2], s = factors[at + 3];
    for (let column = 0; column < width; column++) {
      sums[column] += p * matrix[a + column] + q * matrix[b + column]
        + r * matrix[c + column] + s * matrix[d + column];
    }
  }
  for (; at < count; at++) {
    const start = starts[at], factor = factors[at];
    for (let column = 0; column < width; column++) sums[column] += factor * matrix[start + column];
  }
}

// Return the product of a row of a matrix and a vector.
function rowProduct(matrix, start, vector) {
  const width = vector.length;
  let [a, b, column] = [0, 0, 0];
  for (; column + 2 <= width; column += 2) {
    a += matrix[start + column] * vector[column];
    b += matrix[start + column + 1] * vector[column + 1];
  }
  return column < width ? a + b + matrix[start + column] * vector[column] : a + b;
}

function surround(x, layer, value) {
  const [height, width, maps] = layer.input;
  const [[top, bottom], [left, right]] = layer.margins;
  const line = (left + width + right) * maps;
  const padded = new Float32Array((top + height + bottom) * line).fill(value);
  for (let row = 0; row < height; row++) {
    const inside = x.subarray(row * width * maps, (row + 1) * width * maps);
    padded.set(inside, (top + row) * line + left * maps);
  }
  return padded;
}

function withoutMargins(padded, layer) {
  const [height, width, maps] = layer.input;
  const [[top], [left, right]] = layer.margins;
  const line = (left + width + right) * maps;
  const x = new Float32Array(sizeOf(layer.input));
  for (let row = 0; row < height; row++) {
    const start = (top + row) * line + left * maps;
    x.set(padded.subarray(start, start + width * maps), row * width * maps);
  }
  return x;
}

// Every window is weighed with the kernel (height, width, maps / groups, filters). A bias is one
// for each filter or for each unit. Values of 0, which are many behind a ReLU, cost nothing.
function convolution(layer, kernel, bias = null) {
  const {strides, window, rates, groups = 1, padding_value: value = 0} = layer;
  const [, width, maps] = layer.input, [rows, columns, filters] = layer.output;
  const [left, right] = layer.margins[1];
  const line = (left + width + right) * maps, depth = maps / groups, share = filters / groups;
  const places = [];  // of a window's values, from its corner
  for (let y = 0; y < window[0]; y++) {
    for (let x = 0; x < window[1]; x++) {
      for (let map = 0; map < depth; map++) {
        places.push(y * rates[0] * line + x * rates[1] * maps + map);
      }
    }
  }

  // Call with the corner of each window, where its outputs start, and its group's column.
  function eachWindow(visit) {
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const corner = row * strides[0] * line + column * strides[1] * maps;
        const start = (row * columns + column) * filters;
        for (let group = 0; group < groups; group++) {
          visit(corner + group * depth, start + group * share, group * share);
        }
      }
    }
  }

  return {
    forward(x) {
      const padded = surround(x, layer, value), outputs = new Float32Array(sizeOf(layer.output));
      const starts = new Int32Array(places.length), factors = new Float64Array(places.length);
      const sums = new Float64Array(share);
      eachWindow((corner, start, first) => {
        let count = 0;
        for (let place = 0; place < places.length; place++) {
          const factor = padded[corner + places[place]];
          if (factor !== 0) {
            starts[count] = place * filters + first;
            factors[count++] = factor;
          }
        }
        sums.fill(0);
        addRows(sums, kernel, starts, factors, count);
        const biases = bias && bias.length === filters ? first : start;
        for (let filter = 0; filter < share; filter++) {
          outputs[start + filter] = sums[filter] + (bias ? bias[biases + filter] : 0);
        }
      });
      return outputs;
    },
    backward(x, y, up) {
      const [[top, bottom]] = layer.margins;
      const padded = new Float64Array((top + layer.input[0] + bottom) * line);
      eachWindow((corner, start, first) => {
        const vector = up.subarray(start, start + share);
        if (vector.every(value => value === 0)) return;
        for (let place = 0; place < places.length; place++) {
          padded[corner + places[place]] += rowProduct(kernel, place * filters + first, vector);
        }
      });
      return withoutMargins(padded, layer);
    },
  };
}

// Units that see all features, or all maps at a place: a convolution with a window of 1x1.
function dense(layer, {kernel, bias}) {
  const asMaps = shape => shape.length === 3 ? shape : [1, 1, ...shape];
  const shapes = {input: asMaps(layer.input), output: asMaps(layer.output)};
  const one = {window: [1, 1], strides: [1, 1], rates: [1, 1], margins: [[0, 0], [0, 0]]};
  return convolution({...one, ...shapes}, kernel, bias);
}

// Each map by itself: a convolution in groups of one map, whose kernel has the same order.
function depthwise(layer, kernel, bias = null) {
  const [rows, columns] = layer.output, maps = layer.input[2];
  const output = [rows, columns, maps * layer.depth_multiplier];
  return convolution({...layer, output, groups: maps}, kernel, bias);
}

function separable(layer, {depthwise_kernel, pointwise_kernel: kernel, bias}) {
  const [rows, columns] = layer.output, maps = layer.input[2] * layer.depth_multiplier;
  const first = depthwise(layer, depthwise_kernel);
  const second = dense({input: [rows, columns, maps], output: layer.output}, {kernel, bias});
  return {
    forward: x => second.forward(first.forward(x)),
    backward: (x, y, up) => first.backward(x, null, second.backward(null, y, up)),
  };
}

// The kernel holds what the table connects, output map by output map; the rest is 0.
function connectionTableConvolution(layer, {kernel, bias}) {
  const table = layer.connection_table, sources = table.length, filters = table[0].length;
  const connected = [];
  for (let filter = 0; filter < filters; filter++) {
    for (let source = 0; source < sources; source++) {
      if (table[source][filter]) connected.push(source * filters + filter);
    }
  }
  const full = new Float32Array(sizeOf(layer.window) * sources * filters);
  kernel.forEach((weight, at) => {
    const place = Math.floor(at / connected.length);
    full[place * sources * filters + connected[at % connected.length]] = weight;
  });
  return convolution(layer, full, bias);
}

// Call with where each window's outputs start, where what it sees starts, and the place in it.
function eachPlace({input, output, window, strides, margins}, maps, visit) {
  const [height, width] = input, [rows, columns] = output, [[top], [left]] = margins;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      for (let y = 0; y < window[0]; y++) {
        const down = row * strides[0] + y - top;
        if (down < 0 || down >= height) continue;
        for (let x = 0; x < window[1]; x++) {
          const across = column * strides[1] + x - left;
          if (across < 0 || across >= width) continue;
          visit((row * columns + column) * maps, (down * width + across) * maps, y * window[1] + x);
        }
      }
    }
  }
}

// The sums of each window's values, those of every place times its weight, map by map.
function windowSums(layer, weights = null, maps = layer.input[2]) {
  return {
    forward(x) {
      const sums = new Float64Array(layer.output[0] * layer.output[1] * maps);
      eachPlace(layer, maps, (output, input, place) => {
        const weight = weights ? weights[place] : 1;
        for (let map = 0; map < maps; map++) sums[output + map] += weight * x[input + map];
      });
      return sums;
    },
    backward(up) {
      const sums = new Float64Array(layer.input[0] * layer.input[1] * maps);
      eachPlace(layer, maps, (output, input, place) => {
        const weight = weights ? weights[place] : 1;
        for (let map = 0; map < maps; map++) sums[input + map] += weight * up[output + map];
      });
      return sums;
    },
  };
}

// Windows that overhang the border are divided by the values that lie inside.
function averagePooling(layer) {
  const sums = windowSums(layer);
  const inside = sums.forward(new Float32Array(sizeOf(layer.input)).fill(1));
  return {
    forward: x => Float32Array.from(sums.forward(x), (sum, at) => sum / inside[at]),
    backward: (x, y, up) => Float32Array.from(sums.backward(up.map((u, at) => u / inside[at]))),
  };
}

// Of equal values, the first of a window passes the derivative on.
function maxPooling(layer) {
  const maps = layer.input[2];
  return {
    forward(x) {
      const outputs = new Float32Array(sizeOf(layer.output)).fill(-Infinity);
      eachPlace(layer, maps, (output, input) => {
        for (let map = 0; map < maps; map++) {
          if (x[input + map] > outputs[output + map]) outputs[output + map] = x[input + map];
        }
      });
      return outputs;
    },
    backward(x, y, up) {
      const derivative = new Float32Array(x.length), left = Float32Array.from(up);
      eachPlace(layer, maps, (output, input) => {
        for (let map = 0; map < maps; map++) {
          if (x[input + map] === y[output + map]) {
            derivative[input + map] += left[output + map];
            left[output + map] = 0;
          }
        }
      });
      return derivative;
    },
  };
}

function globalAveragePooling(layer) {
  const [height, width, maps] = layer.input;
  return averagePooling({...layer, window: [height, width], output: [1, 1, maps]});
}

function trainableSubsampling(layer, {coefficient, bias}) {
  const sums = windowSums(layer), maps = bias.length;
  const count = layer.reduction === "mean" ? sizeOf(layer.window) : 1;
  const scale = Float64Array.from(coefficient, each => each / count);
  return {
    forward: x => Float32Array.from(
      sums.forward(x), (sum, at) => sum * scale[at % maps] + bias[at % maps]),
    backward: (x, y, up) => Float32Array.from(
      sums.backward(Float64Array.from(up, (each, at) => each * scale[at % maps]))),
  };
}

// x * scale + offset, with numbers for all channels or one for each.
function affine(layer, scale, offset = 0) {
  const channels = layer.input.at(-1);
  const each = numbers => Float64Array.from(
    {length: channels}, (_, at) => typeof numbers === "number" ? numbers : numbers[at]);
  const [scales, offsets] = [each(scale), each(offset)];
  return {
    forward: x => x.map((value, at) => value * scales[at % channels] + offsets[at % channels]),
    backward: (x, y, up) => up.map((value, at) => value * scales[at % channels]),
  };
}

function batchNormalization(layer, {gamma, beta, moving_mean: mean, moving_variance: variance}) {
  const scale = Float64Array.from(
    variance, (each, at) => (gamma ? gamma[at] : 1) / Math.sqrt(each + layer.epsilon));
  return affine(layer, scale, scale.map((each, at) => (beta ? beta[at] : 0) - mean[at] * each));
}

function normalization(layer) {
  const list = numbers => typeof numbers === "number" ? [numbers] : numbers;
  const deviations = list(layer.variance).map(each => Math.max(Math.sqrt(each), 1e-7));
  const means = list(layer.mean), count = layer.input.at(-1);
  const of = (numbers, at) => numbers[numbers.length === 1 ? 0 : at];
  const scales = Float64Array.from({length: count}, (_, at) => 1 / of(deviations, at));
  return affine(layer, scales, scales.map((scale, at) => -of(means, at) * scale));
}

function localResponseNormalization({input, k, n, alpha, beta}) {
  const maps = input.at(-1), half = Math.floor(n / 2);
  function neighbourSums(values) {
    return Float64Array.from(values, (_, at) => {
      const map = at % maps, first = at - map;
      let sum = 0;
      const last = Math.min(maps - 1, map + half);
      for (let other = Math.max(0, map - half); other <= last; other++) sum += values[first + other];
      return sum;
    });
  }
  const scaleOf = x => neighbourSums(Float64Array.from(x, each => each * each))
    .map(sum => k + alpha * sum);
  return {
    forward(x) {
      const scale = scaleOf(x);
      return x.map((each, at) => each * scale[at] ** -beta);
    },
    backward(x, y, up) {
      const scale = scaleOf(x);
      const shared = neighbourSums(scale.map((s, at) => up[at] * x[at] * s ** (-beta - 1)));
      return x.map((each, at) =>
        up[at] * scale[at] ** -beta - 2 * alpha * beta * each * shared[at]);
    },
  };
}

function euclideanRBF({codes}) {
  return {
    forward: x => Float32Array.from(
      codes, code => code.reduce((sum, each, at) => sum + (x[at] - each) ** 2, 0)),
    backward: (x, y, up) => x.map((each, at) =>
      codes.reduce((sum, code, unit) => sum + 2 * (each - code[at]) * up[unit], 0)),
  };
}

// The Neocognitron's cells (Fukushima, 1980).

function fallOff(area, decay) {
  const middle = (area - 1) / 2;
  return Float64Array.from({length: area * area}, (_, at) =>
    decay ** Math.hypot(Math.floor(at / area) - middle, at % area - middle));
}

function sCells(layer, {a, b}) {
  const maps = layer.input[2], planes = layer.output[2], r = layer.selectivity;
  const c = fallOff(layer.area, layer.decay), total = c.reduce((sum, each) => sum + each) * maps;
  const excite = convolution(layer, a), efficacy = Float64Array.from(b, each => 2 * r / (1 + r) * each);
  const blur = windowSums(layer, c.map(each => each / total), 1);
  function inhibitionOf(x) {
    const energy = new Float64Array(x.length / maps);
    x.forEach((value, at) => { energy[Math.floor(at / maps)] += value * value; });
    return blur.forward(energy).map(Math.sqrt);
  }
  return {
    forward(x) {
      const excitation = excite.forward(x), inhibition = inhibitionOf(x);
      return excitation.map((e, at) => {
        const below = 1 + efficacy[at % planes] * inhibition[Math.floor(at / planes)];
        return r * Math.max((1 + e) / below - 1, 0);
      });
    },
    // Where an area is all zeros, the root has no derivative: it is taken to be 0.
    backward(x, y, up) {
      const excitation = excite.forward(x), inhibition = inhibitionOf(x);
      const byExcitation = new Float32Array(y.length), byEnergy = new Float64Array(inhibition.length);
      y.forEach((output, at) => {
        if (output <= 0) return;
        const place = Math.floor(at / planes), v = inhibition[place], e = efficacy[at % planes];
        const below = 1 + e * v;
        byExcitation[at] = up[at] * r / below;
        if (v > 0) byEnergy[place] -= up[at] * r * (1 + excitation[at]) / below ** 2 * e / (2 * v);
      });
      const direct = excite.backward(x, y, byExcitation), shared = blur.backward(byEnergy);
      return direct.map((each, at) => each + 2 * x[at] * shared[Math.floor(at / maps)]);
    },
  };
}

function cCells(layer) {
  const planes = layer.input[2], {saturation} = layer;
  const blur = windowSums(layer, fallOff(layer.area, layer.decay));
  function sumsOf(x) {
    const above = blur.forward(x).map(sum => 1 + sum);
    const below = new Float64Array(above.length / planes);
    above.forEach((each, at) => { below[Math.floor(at / planes)] += each / planes; });
    return [above, below];
  }
  return {
    forward(x) {
      const [above, below] = sumsOf(x);
      return Float32Array.from(above, (each, at) => {
        const excess = Math.max(each / below[Math.floor(at / planes)] - 1, 0);
        return excess / (saturation + excess);
      });
    },
    backward(x, y, up) {
      const [above, below] = sumsOf(x);
      const bySums = new Float64Array(above.length), byBelow = new Float64Array(below.length);
      above.forEach((each, at) => {
        const place = Math.floor(at / planes), excess = each / below[place] - 1;
        if (excess <= 0) return;
        const slope = up[at] * saturation / (saturation + excess) ** 2;
        bySums[at] = slope / below[place];
        byBelow[place] -= slope * each / below[place] ** 2;
      });
      const shared = bySums.map((each, at) => each + byBelow[Math.floor(at / planes)] / planes);
      return Float32Array.from(blur.backward(shared));
    },
  };
}

// Activations. The derivative is by the input x and the output y.

function pointwise(apply, derivative) {
  return {
    forward: x => x.map(value => apply(value)),
    backward: (x, y, up) => up.map((value, at) => value * derivative(x[at], y[at])),
  };
}

function elu(alpha) {
  return [x => x > 0 ? x : alpha * Math.expm1(x), x => x > 0 ? 1 : alpha * Math.exp(x)];
}

const leaky = slope => [x => x > 0 ? x : slope * x, x => x > 0 ? 1 : slope];
const sigmoid = x => 0.5 * (1 + Math.tanh(0.5 * x));
const between = (x, low, high) => Math.min(Math.max(x, low), high);
const SELU = 1.0507009873554805;
const ACTIVATIONS = {
  elu: elu(1),
  exponential: [Math.exp],
  hard_sigmoid: [x => between(x / 6 + 0.5, 0, 1)],
  leaky_relu: leaky(0.2),
  linear: [x => x, () => 1],
  relu: [x => Math.max(x, 0), (x, y) => y > 0 ? 1 : 0],
  relu6: [x => between(x, 0, 6)],
  selu: [x => SELU * elu(1.6732632423543772)[0](x)],
  sigmoid: [sigmoid, (x, y) => y * (1 - y)],
  silu: [x => x * sigmoid(x)],
  softplus: [x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))],
  softsign: [x => x / (1 + Math.abs(x))],
  swish: [x => x * sigmoid(x)],
  tanh: [Math.tanh, (x, y) => 1 - y * y],
};

// Over the last axis.
function softmax(units) {
  return {
    isSoftmax: true,
    forward(x) {
      const outputs = new Float32Array(x.length);
      for (let start = 0; start < x.length; start += units) {
        const scores = x.subarray(start, start + units);
        const largest = scores.reduce((most, each) => Math.max(most, each));
        const powers = Float64Array.from(scores, each => Math.exp(each - largest));
        const total = powers.reduce((sum, each) => sum + each);
        outputs.set(powers.map(each => each / total), start);
      }
      return outputs;
    },
    backward(x, y, up) {
      return y.map((each, at) => {
        const start = at - at % units;
        let shared = 0;
        for (let unit = start; unit < start + units; unit++) shared += up[unit] * y[unit];
        return each * (up[at] - shared);
      });
    },
  };
}

function activationStep(name, units) {
  if (name === "softmax") return softmax(units);
  if (name === "log_softmax") {
    return {forward: x => softmax(units).forward(x).map(Math.log)};
  }
  return pointwise(...ACTIVATIONS[name]);
}

function relu(layer) {
  const {negative_slope: slope, threshold, max_value: most} = layer;
  return pointwise(x => Math.min(x >= threshold ? x : slope * (x - threshold), most ?? Infinity));
}

// A slope below 0 for each value, or one along each shared axis (1 is the first).
function prelu({input, shared_axes: shared}, {alpha}) {
  const slopes = new Float32Array(sizeOf(input)).map((_, index) => {
    let place = 0, step = 1;
    for (let axis = input.length; axis > 0; axis--) {
      const size = input[axis - 1];
      if (!shared?.includes(axis)) {
        place += index % size * step;
        step *= size;
      }
      index = Math.floor(index / size);
    }
    return alpha[place];
  });
  return {
    forward: x => x.map((value, at) => value > 0 ? value : slopes[at] * value),
    backward: (x, y, up) => up.map((value, at) => x[at] > 0 ? value : slopes[at] * value),
  };
}

function scaledTanh({amplitude, slope}) {
  return pointwise(
    x => amplitude * Math.tanh(slope * x),
    x => amplitude * slope * (1 - Math.tanh(slope * x) ** 2));
}

const unchanged = () => ({forward: x => x, backward: (x, y, up) => up});
const STEPS = {
  Activation: layer => activationStep(layer.activation, layer.input.at(-1)),
  AlphaDropout: unchanged,
  AveragePooling2D: averagePooling,
  BatchNormalization: batchNormalization,
  CCells: cCells,
  ConnectionTableConv2D: connectionTableConvolution,
  Conv2D: (layer, {kernel, bias}) => convolution(layer, kernel, bias),
  Dense: dense,
  DepthwiseConv2D: (layer, {kernel, bias}) => depthwise(layer, kernel, bias),
  Dropout: unchanged,
  ELU: layer => pointwise(...elu(layer.alpha)),
  EuclideanRBF: euclideanRBF,
  Flatten: unchanged,
  GaussianDropout: unchanged,
  GaussianNoise: unchanged,
  GlobalAveragePooling2D: globalAveragePooling,
  LeakyReLU: layer => pointwise(...leaky(layer.negative_slope)),
  LocalResponseNormalization: localResponseNormalization,
  MaxPooling2D: maxPooling,
  Normalization: normalization,
  PReLU: prelu,
  ReLU: relu,
  Rescaling: layer => affine(layer, layer.scale, layer.offset),
  SCells: sCells,
  ScaledTanh: scaledTanh,
  SeparableConv2D: separable,
  Softmax: layer => softmax(layer.input.at(-1)),
  SpatialDropout2D: unchanged,
  TrainableSubsampling: trainableSubsampling,
  UnitBiasConv2D: connectionTableConvolution,
  ZeroPadding2D: layer => ({
    forward: x => surround(x, layer, 0),
    backward: (x, y, up) => withoutMargins(up, layer),
  }),
};

class Network {
  // `numbers` are all weights, one array after the other, in the order of the description.
  constructor(description, numbers) {
    this.description = description;
    this.steps = [];
    let at = 0;
    for (const layer of description.layers) {
      const weights = {};
      for (const [name, shape] of layer.weights) {
        weights[name] = numbers.subarray(at, at + sizeOf(shape));
        at += sizeOf(shape);
      }
      this.steps.push({layer, ...STEPS[layer.kind](layer, weights)});
      if (layer.kind !== "Activation" && (layer.activation ?? "linear") !== "linear") {
        this.steps.push({layer, ...activationStep(layer.activation, layer.output.at(-1))});
      }
    }
  }

  // Return what every step gives, the image (0 to 255) first and the outputs last.
  forward(image) {
    const values = [Float32Array.from(image)];
    for (const step of this.steps) values.push(step.forward(values.at(-1)));
    return values;
  }

  // Return the layers behind the preprocessing with their outputs.
  features(values) {
    const found = new Map();
    this.steps.forEach(({layer}, at) => found.set(layer, values[at + 1]));
    return [...found].slice(this.description.preprocessing);
  }

  // The steps whose outputs are scores: all but a softmax at the end, where gradients fade.
  get scoring() {
    return this.steps.length - (this.steps.at(-1).isSoftmax ? 1 : 0);
  }

  // Return the derivative by the image of the scores, each times its number in `upstream`.
  gradient(values, upstream) {
    let derivative = Float32Array.from(upstream);
    for (let at = this.scoring - 1; at >= 0; at--) {
      derivative = this.steps[at].backward(values[at], values[at + 1], derivative);
    }
    return derivative;
  }

  // Return the image with every pixel changed by a share of 255, up or down, so that `label` becomes
  // less likely: the fast gradient sign method (Goodfellow et al., 2015).
  adversarial(values, label, strength) {
    const scores = values[this.scoring];
    const others = scores.filter((_, unit) => unit !== label);
    const largest = others.reduce((most, each) => Math.max(most, each), -Infinity);
    const total = others.reduce((sum, each) => sum + Math.exp(each - largest), 0);
    const upstream = scores.map(  // of how far the wrong classes are ahead: it does not fade
      (score, unit) => unit === label ? -1 : Math.exp(score - largest) / total);
    const gradient = this.gradient(values, upstream);
    return values[0].map((pixel, at) =>
      between(pixel + 255 * strength * Math.sign(gradient[at]), 0, 255));
  }
}
