"use strict";
// The plane of the latents: where the pointer is, what is decoded there.

const COLOURS = ["#4c78ff", "#ff7f0e", "#2ca02c", "#e33", "#9467bd", "#a0705f", "#e377c2", "#666", "#bcbd22", "#17becf"];

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

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

class Plane {
  constructor(canvas, data, decode) {
    Object.assign(this, { canvas, data, decode, cursor: [0, 0], marks: [], path: [], drawn: null, manifold: null, others: [...data.plane.others] });
    this.listeners = [];
    this.view = { x: 0, y: 0, reach: data.plane.reach };
    this.resize();
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  resize() { // places on the plane are in pixels of CSS; the canvas has all that the screen has
    this.size = this.canvas.clientWidth || 400;
    this.canvas.width = this.canvas.height = Math.round(this.size * devicePixelRatio);
    this.changed();
  }

  changed() { // what is decoded where: the manifold is made again, after a pause
    this.decoding = null;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.decodeManifold(), 200);
    this.draw();
  }

  async decodeManifold() { // some milliseconds at a time, so that the page still answers
    const decoding = this.decoding = {}, view = { ...this.view }, [height, width] = this.data.shape;
    const one = document.createElement("canvas"), all = document.createElement("canvas"), pen = all.getContext("2d");
    let since = performance.now();
    drawImage(one, this.decode(this.latentsAt([view.x, view.y])), this.data.shape);
    const affordable = Math.sqrt(2500 / (performance.now() - since + 0.1));
    const cells = Math.floor(Math.min(Math.max(affordable, 7), this.size / 28));
    Object.assign(all, { width: cells * width, height: cells * height });
    for (let i = 0; i < cells * cells; i++) {
      const column = i % cells, row = Math.floor(i / cells);
      const place = [view.x + view.reach * ((2 * column + 1) / cells - 1), view.y - view.reach * ((2 * row + 1) / cells - 1)];
      drawImage(one, this.decode(this.latentsAt(place)), this.data.shape);
      pen.drawImage(one, column * width, row * height);
      if (performance.now() - since < 12) continue;
      await new Promise((resume) => { setTimeout(resume); });
      if (this.decoding !== decoding) return;
      since = performance.now();
    }
    this.manifold = { all, view };
    this.draw();
  }

  latentsAt([x, y]) {
    const { centre, axes } = this.data.plane, along = [x, y, ...this.others];
    return centre.map((value, i) => axes.reduce((sum, axis, k) => sum + axis[i] * along[k], value));
  }

  toPlace(x, y) { // of a pixel of the canvas
    const scale = (2 * this.view.reach) / this.size;
    return [this.view.x - this.view.reach + x * scale, this.view.y + this.view.reach - y * scale];
  }

  toPixel([x, y]) {
    const scale = this.size / (2 * this.view.reach);
    return [(x - this.view.x + this.view.reach) * scale, (this.view.y + this.view.reach - y) * scale];
  }

  nearest([x, y]) { // test image within six pixels
    let found = -1, least = (6 * 2 * this.view.reach) / this.size;
    this.data.plane.places.forEach(([a, b], i) => {
      const distance = Math.hypot(a - x, b - y);
      if (distance < least) { least = distance; found = i; }
    });
    return found;
  }

  zoom(factor, [x, y] = this.cursor) {
    const { view } = this, whole = this.data.plane.reach;
    factor = Math.min(Math.max(factor, whole / 1000 / view.reach), (4 * whole) / view.reach);
    view.x = x + (view.x - x) * factor;
    view.y = y + (view.y - y) * factor;
    view.reach *= factor;
    this.changed();
  }

  whole() {
    this.view = { x: 0, y: 0, reach: this.data.plane.reach };
    this.changed();
  }

  draw() {
    const pen = this.canvas.getContext("2d"), { size, manifold } = this, style = getComputedStyle(document.body);
    const colour = (name) => style.getPropertyValue(`--${name}`);
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, size, size);
    if (manifold) {
      const { x, y, reach } = manifold.view, side = (size * reach) / this.view.reach;
      pen.globalAlpha = 0.22;
      pen.drawImage(manifold.all, ...this.toPixel([x - reach, y + reach]), side, side);
      pen.globalAlpha = 1;
    }
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    const [x, y] = this.toPixel([0, 0]);
    pen.beginPath(); pen.moveTo(x, 0); pen.lineTo(x, size); pen.moveTo(0, y); pen.lineTo(size, y); pen.stroke();
    pen.strokeStyle = colour("paper"); // dots are told apart by it
    this.data.plane.places.forEach((place, i) => {
      const label = this.data.testLabels[i];
      pen.fillStyle = label === undefined ? COLOURS[0] : COLOURS[label % COLOURS.length];
      pen.beginPath(); pen.arc(...this.toPixel(place), 3.5, 0, 7); pen.fill(); pen.stroke();
    });
    pen.strokeStyle = colour("strong");
    pen.lineWidth = 2.5;
    if (this.path.length > 1) {
      pen.beginPath();
      this.path.forEach((place) => pen.lineTo(...this.toPixel(place)));
      pen.stroke();
    }
    for (const mark of [...this.marks, ...(this.drawn ? [this.drawn] : [])]) { pen.beginPath(); pen.arc(...this.toPixel(mark), 8, 0, 7); pen.stroke(); }
    const [c, d] = this.toPixel(this.cursor);
    pen.beginPath(); pen.moveTo(c - 10, d); pen.lineTo(c + 10, d); pen.moveTo(c, d - 10); pen.lineTo(c, d + 10); pen.stroke();
  }

  moveTo(place) {
    this.cursor = place;
    this.draw();
    this.listeners.forEach((listener) => listener(place));
  }

  follow() { // the cursor, if it has left the view
    const { view, cursor } = this;
    if (Math.max(Math.abs(cursor[0] - view.x), Math.abs(cursor[1] - view.y)) <= view.reach) return;
    [view.x, view.y] = cursor;
    this.changed();
  }

  endPath(path) { // true if it is long enough to be one
    const size = this.view.reach / 40;
    if (!path.some(([x, y]) => Math.hypot(x - path[0][0], y - path[0][1]) > size)) return false;
    this.marks = [];
    this.path = path;
    this.onPath(alongPath(path, 11), "along the path");
    this.draw();
    return true;
  }

  mark(place) { // the second one makes an interpolation
    this.marks = this.marks.length === 1 ? [this.marks[0], place] : [place];
    this.path = [...this.marks];
    if (this.marks.length === 2) this.onPath(between(...this.marks, 11), "between the two places");
    this.draw();
  }

  placeOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.toPlace(event.clientX - box.left, event.clientY - box.top);
  }

  listen() {
    this.listenToPointers();
    this.listenToKeys();
  }

  listenToPointers() { // one draws a path, two zoom
    const { canvas } = this, fingers = new Map();
    let dragging = null;
    const apart = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) || 1; };
    const stop = () => { dragging = null; this.path = []; this.draw(); };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, event);
      if (fingers.size === 1) dragging = [this.placeOf(event)]; else stop();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (fingers.size === 2 && fingers.has(event.pointerId)) {
        const before = apart();
        fingers.set(event.pointerId, event);
        this.zoom(before / apart(), this.placeOf(event));
        return;
      }
      const place = this.placeOf(event);
      if (dragging) { dragging.push(place); this.path = dragging; }
      this.moveTo(place);
    });
    canvas.addEventListener("pointerup", (event) => {
      const path = dragging;
      fingers.delete(event.pointerId);
      dragging = null;
      if (!path || this.endPath(path)) return;
      this.moveTo(this.placeOf(event));
      this.mark(this.placeOf(event));
    });
    canvas.addEventListener("pointercancel", (event) => { fingers.delete(event.pointerId); stop(); });
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, this.placeOf(event)); }, { passive: false });
  }

  listenToKeys() { // shift with arrows draws a path, which enter ends
    let path = [];
    this.canvas.addEventListener("keydown", (event) => {
      const move = ARROWS[event.key], step = this.view.reach / 40;
      if (move) {
        if (event.shiftKey && !path.length) path = [this.cursor];
        this.cursor = this.cursor.map((value, i) => value + step * move[i]);
        if (event.shiftKey) { path.push(this.cursor); this.path = path; }
        this.follow();
        this.moveTo(this.cursor);
      } else if (event.key === "+" || event.key === "=") this.zoom(1 / 1.3);
      else if (event.key === "-") this.zoom(1.3);
      else if (event.key === "Enter" || event.key === " ") {
        const done = path;
        path = [];
        if (!done.length || !this.endPath(done)) this.mark(this.cursor);
      } else return;
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
