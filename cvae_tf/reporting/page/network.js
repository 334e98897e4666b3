"use strict";
// Computes the networks that network_code.py has written: arrays without a batch, last axis fastest.

const ACTIVATIONS = {
  linear: (x) => x,
  relu: (x) => Math.max(x, 0),
  leaky_relu: (x) => (x > 0 ? x : 0.2 * x),
  gelu: (x) => 0.5 * x * (1 + errorFunction(x / Math.SQRT2)),
  silu: (x) => x / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  elu: (x) => (x > 0 ? x : Math.expm1(x)),
  selu: (x) => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * Math.expm1(x)),
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
};

// Abramowitz & Stegun, "Handbook of mathematical functions", 7.1.26: right to 1.5e-7.
function errorFunction(x) {
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const terms = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return Math.sign(x) * (1 - terms * Math.exp(-x * x));
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer;
}

function sizeOf(shape) {
  return shape.reduce((product, side) => product * side, 1);
}

function readWeights({ shape, float32, int8, scale }) {
  if (float32 !== undefined) return new Float32Array(bytesOf(float32));
  const whole = new Int8Array(bytesOf(int8)), scales = new Float32Array(bytesOf(scale)), last = shape[shape.length - 1];
  return Float32Array.from(whole, (value, i) => value * scales[i % last]);
}

function activated(values, name) {
  if (name === "relu") {
    for (let i = 0; i < values.length; i++) if (values[i] < 0) values[i] = 0;
  } else if (name !== "linear") {
    const change = ACTIVATIONS[name];
    for (let i = 0; i < values.length; i++) values[i] = change(values[i]);
  }
  return values;
}

function addScaled(to, at, row, first, count, factor) {
  for (let i = 0; i < count; i++) to[at + i] += factor * row[first + i];
}

const OPERATIONS = {
  dense([x], op) {
    const units = op.bias.length, y = Float32Array.from(op.bias);
    for (let i = 0; i < x.data.length; i++) {
      if (x.data[i] !== 0) addScaled(y, 0, op.kernel, i * units, units, x.data[i]);
    }
    return activated(y, op.activation);
  },
  convolve([x], op) {
    const [rows, columns, channels] = x.shape, [height, width, filters] = op.shape;
    const [sides, across] = op.kernelShape, [down, right] = op.stride;
    const top = op.pads ? Math.floor(Math.max((height - 1) * down + sides - rows, 0) / 2) : 0;
    const left = op.pads ? Math.floor(Math.max((width - 1) * right + across - columns, 0) / 2) : 0;
    const y = new Float32Array(height * width * filters);
    for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) {
      const at = (r * width + c) * filters;
      y.set(op.bias, at);
      for (let i = 0; i < sides; i++) for (let j = 0; j < across; j++) {
        const row = r * down + i - top, column = c * right + j - left;
        if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
        for (let k = 0; k < channels; k++) {
          const value = x.data[(row * columns + column) * channels + k];
          if (value !== 0) addScaled(y, at, op.kernel, ((i * across + j) * channels + k) * filters, filters, value);
        }
      }
    }
    return activated(y, op.activation);
  },
  transposed([x], op) {
    const [rows, columns, channels] = x.shape, [height, width, filters] = op.shape;
    const [sides, across] = op.kernelShape, [down, right] = op.stride;
    // Padding "same" is that of the convolution from the result back to x.
    const top = Math.floor(Math.max((rows - 1) * down + sides - height, 0) / 2);
    const left = Math.floor(Math.max((columns - 1) * right + across - width, 0) / 2);
    const y = new Float32Array(height * width * filters);
    for (let at = 0; at < y.length; at += filters) y.set(op.bias, at);
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) {
      for (let i = 0; i < sides; i++) for (let j = 0; j < across; j++) {
        const row = r * down + i - top, column = c * right + j - left;
        if (row < 0 || row >= height || column < 0 || column >= width) continue;
        for (let k = 0; k < channels; k++) {
          const value = x.data[(r * columns + c) * channels + k];
          if (value !== 0) {
            const first = ((i * across + j) * channels + k) * filters;
            addScaled(y, (row * width + column) * filters, op.kernel, first, filters, value);
          }
        }
      }
    }
    return activated(y, op.activation);
  },
  reshape: ([x]) => x.data,
  permute([x], op) {
    const steps = x.shape.map((_, axis) => sizeOf(x.shape.slice(axis + 1)));
    const y = new Float32Array(x.data.length), place = op.shape.map(() => 0);
    for (let i = 0; i < y.length; i++) {
      let from = 0;
      for (let axis = 0; axis < place.length; axis++) from += place[axis] * steps[op.order[axis]];
      y[i] = x.data[from];
      for (let axis = place.length - 1; axis >= 0 && ++place[axis] === op.shape[axis]; axis--) place[axis] = 0;
    }
    return y;
  },
  pad([x], op) {
    const [rows, columns, channels] = x.shape, [height, width] = op.shape;
    const y = new Float32Array(sizeOf(op.shape)), [[top], [left]] = op.by;
    for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) {
      const row = r - top, column = c - left;
      if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
      for (let k = 0; k < channels; k++) y[(r * width + c) * channels + k] = x.data[(row * columns + column) * channels + k];
    }
    return y;
  },
  normalize([x], op) {
    const size = op.gain.length, y = new Float32Array(x.data.length);
    for (let at = 0; at < y.length; at += size) {
      const row = x.data.subarray(at, at + size);
      const mean = row.reduce((sum, value) => sum + value, 0) / size;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size;
      for (let i = 0; i < size; i++) y[at + i] = ((row[i] - mean) / Math.sqrt(variance + op.epsilon)) * op.gain[i] + op.add[i];
    }
    return y;
  },
  affine: ([x], op) => x.data.map((value, i) => value * op.gain[i % op.gain.length] + op.add[i % op.add.length]),
  leaky: ([x], op) => x.data.map((value) => (value > 0 ? value : op.slope * value)),
  activate: ([x], op) => activated(Float32Array.from(x.data), op.activation),
  add: ([first, ...others]) => first.data.map((value, i) => others.reduce((sum, x) => sum + x.data[i], value)),
  concatenate(parts, op) {
    const last = op.shape[op.shape.length - 1], y = new Float32Array(sizeOf(op.shape));
    let at = 0;
    for (const part of parts) {
      const own = part.shape[part.shape.length - 1];
      for (let row = 0; row * own < part.data.length; row++) y.set(part.data.subarray(row * own, (row + 1) * own), row * last + at);
      at += own;
    }
    return y;
  },
  fourier([x], op) {
    const [latents, directions] = op.kernelShape, y = new Float32Array(x.data.length + 2 * directions);
    y.set(x.data);
    for (let d = 0; d < directions; d++) {
      let phase = 0;
      for (let i = 0; i < latents; i++) phase += x.data[i] * op.kernel[i * directions + d];
      y[x.data.length + d] = Math.sin(phase);
      y[x.data.length + directions + d] = Math.cos(phase);
    }
    return y;
  },
  one_hot: ([x], op) => Float32Array.from({ length: op.classes }, (_, i) => (i === x.data[0] ? 1 : 0)),
  modulate([x, labels], op) {
    const own = labels.data.indexOf(1), size = x.shape[x.shape.length - 1];
    return x.data.map((value, i) => value * (1 + op.gain[own * size + (i % size)]) + op.add[own * size + (i % size)]);
  },
  head([x], op) { // logits without the channel of the variance; the variance is not needed here
    const channels = x.shape[2], last = op.shape[2], y = new Float32Array(sizeOf(op.shape));
    for (let p = 0; p * channels < x.data.length; p++) for (let k = 0; k < channels - 1; k++) y[p * last + k] = x.data[p * channels + k];
    return y;
  },
  logistic_head: ([x]) => logisticHead(x, x.shape[2] / 2, 4),
  neighbour_head([x]) {
    const size = x.shape[2], channels = size === 3 ? 1 : 3, y = logisticHead(x, channels, 8);
    const first = channels === 1 ? [0.9] : [0.9, 0.9, 0.9, 0.9, 0, 0.9];
    for (let at = 0; at < y.length; at += size) first.forEach((share, k) => {
      y[at + 2 * channels + k] = Math.min(Math.max(share + y[at + 2 * channels + k] / 8, -8), 8);
    });
    return y;
  },
};

function logisticHead(x, channels, steps) {
  const y = Float32Array.from(x.data);
  const least = -7 - Math.LN2, above = Math.log((0.2 * Math.sqrt(3)) / Math.PI) - least;
  for (let at = 0; at < y.length; at += x.shape[2]) for (let k = 0; k < channels; k++) {
    y[at + k] = 0.5 + x.data[at + k] / steps;
    y[at + channels + k] = Math.min(least + ACTIVATIONS.softplus(above + x.data[at + channels + k]), 7);
  }
  return y;
}

// Returns, by name, functions from arrays (one for each input) to an array.
function readNetworks(code) {
  const found = {};
  for (const [name, network] of Object.entries(code)) {
    const operations = network.operations.map((op) => {
      const own = { ...op, kernelShape: op.kernel && op.kernel.shape };
      for (const part of ["kernel", "bias", "gain", "add"]) if (op[part]) own[part] = readWeights(op[part]);
      return own;
    });
    found[name] = (...inputs) => {
      const values = inputs.map((data, i) => ({ data: Float32Array.from(data), shape: network.inputShapes[i] }));
      for (const op of operations) {
        values[op.output] = { data: OPERATIONS[op.name](op.inputs.map((i) => values[i]), op), shape: op.shape };
      }
      return values[network.output].data;
    };
  }
  return found;
}

// The mean image of what a decoder makes, by its likelihood.
const MEANS = {
  image: (x) => x,
  bernoulli: (x) => x.map(ACTIVATIONS.sigmoid),
  continuous_bernoulli: (x) => x.map((l) => (Math.abs(l) < 0.1 ? 0.5 + l / 12 : 1 / -Math.expm1(-l) - 1 / l)),
  gaussian: (x, channels) => halves(x, channels, (location) => ACTIVATIONS.sigmoid(location)),
  discretized_logistic: (x, channels) => halves(x, channels, logisticMean),
  neighbour_logistic(x, channels, width) { // pixels as on a chessboard: half of them after those beside them
    const size = channels === 1 ? 3 : 12, height = x.length / size / width, y = new Float32Array(width * height * channels);
    for (const isLater of [0, 1]) for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) {
      if ((r + c) % 2 !== isLater) continue;
      const at = (r * width + c) * size, rest = [], around = [[r - 1, c], [r + 1, c], [r, c - 1], [r, c + 1]];
      const beside = isLater ? around.filter(([i, j]) => i >= 0 && j >= 0 && i < height && j < width) : [];
      for (let k = 0; k < channels; k++) {
        const sum = beside.reduce((total, [i, j]) => total + y[(i * width + j) * channels + k] - 0.5, 0);
        const near = (x[at + 2 * channels + k] * sum) / (beside.length || 1), shares = at + 3 * channels + (k * (k - 1)) / 2;
        const location = rest.reduce((total, value, e) => total + x[shares + e] * value, x[at + k] + near);
        const mean = logisticMean(location, x[at + channels + k]);
        y[(r * width + c) * channels + k] = mean;
        rest.push(mean - 0.5 - near);
      }
    }
    return y;
  },
};

function logisticMean(location, logScale) {
  const scale = Math.exp(logScale);
  return scale * (ACTIVATIONS.softplus(location / scale) - ACTIVATIONS.softplus((location - 1) / scale));
}

function halves(x, channels, mean) {
  const y = new Float32Array(x.length / 2);
  for (let i = 0; i < y.length; i++) {
    const at = Math.floor(i / channels) * 2 * channels + (i % channels);
    y[i] = mean(x[at], x[at + channels]);
  }
  return y;
}
