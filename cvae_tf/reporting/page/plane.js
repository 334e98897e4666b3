"use strict";
// The plane of the latents: where the pointer is, what is decoded there.

const COLOURS = ["#4c78ff", "#ff7f0e", "#2ca02c", "#e33", "#9467bd", "#a0705f", "#e377c2", "#999", "#bcbd22", "#17becf"];

function drawImage(canvas, values, [height, width, channels]) {
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let k = 0; k < 3; k++) pixels.data[4 * i + k] = Math.round(255 * Math.min(Math.max(values[i * channels + (channels === 1 ? 0 : k)], 0), 1));
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

class Plane {
  constructor(canvas, data, decode) {
    Object.assign(this, { canvas, data, decode, cursor: [0, 0], marks: [], path: [], others: data.plane.axes.slice(2).map(() => 0) });
    this.listeners = [];
    this.whole();
  }

  latentsAt([x, y]) {
    const { centre, axes } = this.data.plane, along = [x, y, ...this.others];
    return centre.map((value, i) => axes.reduce((sum, axis, k) => sum + axis[i] * along[k], value));
  }

  toPlace(x, y) { // of a pixel of the canvas
    const scale = (2 * this.view.reach) / this.canvas.width;
    return [this.view.x - this.view.reach + x * scale, this.view.y + this.view.reach - y * scale];
  }

  toPixel([x, y]) {
    const scale = this.canvas.width / (2 * this.view.reach);
    return [(x - this.view.x + this.view.reach) * scale, (this.view.y + this.view.reach - y) * scale];
  }

  nearest([x, y]) { // test image within twelve pixels
    let found = -1, least = (12 * 2 * this.view.reach) / this.canvas.width;
    this.data.plane.places.forEach(([a, b], i) => {
      const distance = Math.hypot(a - x, b - y);
      if (distance < least) { least = distance; found = i; }
    });
    return found;
  }

  zoom(factor, [x, y] = this.cursor) {
    const { view } = this;
    view.x = x + (view.x - x) * factor;
    view.y = y + (view.y - y) * factor;
    view.reach *= factor;
    this.draw();
  }

  whole() {
    this.view = { x: 0, y: 0, reach: this.data.plane.reach };
    this.draw();
  }

  draw() {
    const pen = this.canvas.getContext("2d"), { width, height } = this.canvas;
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(document.body);
    pen.strokeStyle = style.getPropertyValue("--line");
    pen.lineWidth = 2;
    const [x, y] = this.toPixel([0, 0]);
    pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, height); pen.moveTo(0, y); pen.lineTo(width, y); pen.stroke();
    this.data.plane.places.forEach((place, i) => {
      const [a, b] = this.toPixel(place), label = this.data.testLabels[i];
      pen.fillStyle = label === undefined ? COLOURS[0] : COLOURS[label % COLOURS.length];
      pen.beginPath(); pen.arc(a, b, 4, 0, 7); pen.fill();
    });
    pen.strokeStyle = style.getPropertyValue("--strong");
    pen.lineWidth = 4;
    if (this.path.length > 1) {
      pen.beginPath();
      this.path.forEach((place) => pen.lineTo(...this.toPixel(place)));
      pen.stroke();
    }
    for (const mark of this.marks) { pen.beginPath(); pen.arc(...this.toPixel(mark), 11, 0, 7); pen.stroke(); }
    const [c, d] = this.toPixel(this.cursor);
    pen.beginPath(); pen.moveTo(c - 14, d); pen.lineTo(c + 14, d); pen.moveTo(c, d - 14); pen.lineTo(c, d + 14); pen.stroke();
  }

  moveTo(place) {
    this.cursor = place;
    this.draw();
    this.listeners.forEach((listener) => listener(place));
  }

  mark(place) { // the second one makes an interpolation
    this.marks = this.marks.length === 1 ? [this.marks[0], place] : [place];
    this.path = [...this.marks];
    if (this.marks.length === 2) this.onPath(between(...this.marks, 11), "between the two places");
    this.draw();
  }

  listen() {
    const { canvas } = this;
    let dragging = null;
    const placeOf = (event) => {
      const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
      return this.toPlace((event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); dragging = [placeOf(event)]; });
    canvas.addEventListener("pointermove", (event) => {
      const place = placeOf(event);
      if (dragging) { dragging.push(place); this.path = dragging; }
      this.moveTo(place);
    });
    canvas.addEventListener("pointerup", (event) => {
      const path = dragging || [], size = this.view.reach / 40;
      dragging = null;
      const isPath = path.some(([x, y]) => Math.hypot(x - path[0][0], y - path[0][1]) > size);
      if (isPath) { this.marks = []; this.onPath(alongPath(path, 11), "along the path"); } else { this.moveTo(placeOf(event)); this.mark(placeOf(event)); }
    });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, placeOf(event)); }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = this.view.reach / 40, moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
      if (moves[event.key]) this.moveTo(this.cursor.map((value, i) => value + step * moves[event.key][i]));
      else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.3);
      else if (event.key === "-") this.zoom(1.3);
      else if (event.key === "Enter" || event.key === " ") this.mark(this.cursor);
      else return;
      event.preventDefault();
    });
  }
}

function between(a, b, count) {
  return Array.from({ length: count }, (_, i) => a.map((value, k) => value + ((b[k] - value) * i) / (count - 1)));
}

function alongPath(path, count) { // at even distances
  const lengths = [0];
  for (let i = 1; i < path.length; i++) lengths.push(lengths[i - 1] + Math.hypot(path[i][0] - path[i - 1][0], path[i][1] - path[i - 1][1]));
  return Array.from({ length: count }, (_, i) => {
    const wanted = (lengths[lengths.length - 1] * i) / (count - 1);
    const next = Math.max(lengths.findIndex((length) => length >= wanted), 1);
    const share = (wanted - lengths[next - 1]) / (lengths[next] - lengths[next - 1] || 1);
    return path[next].map((value, k) => path[next - 1][k] + (value - path[next - 1][k]) * share);
  });
}
