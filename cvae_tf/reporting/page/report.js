"use strict";
// Joins the parts of the page; without this script all pictures and tables can be seen, too.

document.documentElement.classList.add("script");
const DATA = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);

function sheetReader(sheet, [height, width, channels]) { // of one image by its number
  const picture = new Image(), canvas = document.createElement("canvas");
  const ready = new Promise((resolve) => { picture.onload = resolve; });
  picture.src = sheet.uri;
  canvas.width = width;
  canvas.height = height;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  return {
    ready,
    read(number) {
      pen.drawImage(picture, (number % sheet.columns) * width, Math.floor(number / sheet.columns) * height, width, height, 0, 0, width, height);
      const { data } = pen.getImageData(0, 0, width, height), values = new Float32Array(width * height * channels);
      for (let i = 0; i < width * height; i++) for (let k = 0; k < channels; k++) values[i * channels + k] = data[4 * i + k] / 255;
      return values;
    },
  };
}

function startEpochs() {
  const slider = byId("epoch"), pictures = [...document.querySelectorAll("img.epoch")];
  if (!slider) return;
  const show = () => {
    pictures.forEach((picture, i) => { picture.hidden = i !== Number(slider.value); });
    const { name } = pictures[slider.value].dataset;
    byId("epoch-name").textContent = name;
    slider.setAttribute("aria-valuetext", name);
  };
  slider.addEventListener("input", show);
  show();
}

function startCopy() {
  const button = byId("copy");
  button.addEventListener("click", async () => {
    const text = byId("command").textContent;
    try { await navigator.clipboard.writeText(text); } catch { // not allowed for files in some browsers
      getSelection().selectAllChildren(byId("command"));
      document.execCommand("copy");
    }
    button.textContent = "Copied";
  });
}

function startMore() {
  const { samples, shape, seen } = DATA, canvas = byId("more-samples"), columns = 16, rows = 3;
  if (!canvas) return;
  let first = seen;
  const sheet = sheetReader(samples, shape), one = document.createElement("canvas");
  byId("more").addEventListener("click", async () => {
    await sheet.ready;
    canvas.width = columns * shape[1];
    canvas.height = rows * shape[0];
    canvas.hidden = false;
    for (let i = 0; i < Math.min(columns * rows, samples.count); i++) {
      drawImage(one, sheet.read((first + i) % samples.count), shape);
      canvas.getContext("2d").drawImage(one, (i % columns) * shape[1], Math.floor(i / columns) * shape[0]);
    }
    first = (first + columns * rows) % samples.count;
  });
}

function startPlane() {
  const { shape } = DATA, networks = readNetworks(DATA.code);
  const choice = byId("class"), ofClass = (label) => (DATA.classes.length ? [[label ?? Number(choice.value)]] : []);
  const again = DATA.reconstructed && sheetReader(DATA.reconstructed, shape);
  const decode = (latents, label) => MEANS[DATA.likelihood](networks.decode(latents, ...ofClass(label)), shape[2], shape[1]);
  const made = (pixels) => (DATA.threshold ? pixels.map((value) => (value > 0.5 ? 1 : 0)) : pixels);
  const encode = networks.encode && ((pixels, label) => networks.encode(made(pixels), ...ofClass(label)));
  const plane = new Plane(byId("plane"), DATA, decode);
  const tests = DATA.tests && sheetReader(DATA.tests, shape);
  const show = (place) => {
    drawImage(byId("decoded"), decode(plane.latentsAt(place)), shape);
    byId("place").textContent = place.map((value) => value.toFixed(2)).join(", ");
    const near = tests ? plane.nearest(place) : -1;
    byId("near").style.visibility = near < 0 ? "hidden" : "visible";
    if (near < 0) return;
    const image = tests.read(near), label = DATA.testLabels[near], ofTest = DATA.testClasses && DATA.testClasses[near];
    drawImage(byId("near-image"), image, shape);
    byId("near-name").textContent = label === undefined ? "test image" : `test image: ${DATA.labelNames[label]}`;
    drawImage(byId("near-again"), encode ? decode(encode(image, ofTest).slice(0, DATA.latents), ofTest) : again.read(near), shape);
  };
  plane.listeners.push(show);
  plane.onPath = (places, name) => showStrip(places.map((place) => decode(plane.latentsAt(place))), name);
  const drawing = encode && startDrawing(plane, encode, decode);
  startClasses(choice, (DATA.testClasses || [0])[0], () => { plane.changed(); plane.moveTo(plane.cursor); if (drawing) drawing.refresh(); });
  startLegend();
  startSliders(plane);
  plane.listen();
  const about = () => [plane.view.x, plane.view.y];
  [["zoom-in", () => plane.zoom(1 / 1.5, about())], ["zoom-out", () => plane.zoom(1.5, about())], ["zoom-whole", () => plane.whole()]]
    .forEach(([name, does]) => byId(name).addEventListener("click", does));
  plane.moveTo(DATA.plane.places[0] || [0, 0]); // of the first test image, where the plane goes through it
  Promise.all([tests, again].map((sheet) => sheet && sheet.ready)).then(() => {
    plane.moveTo(plane.cursor);
    if (drawing) drawing.begin(tests ? tests.read(0) : decode(plane.latentsAt([0, 0])));
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plane.draw());
  window.report = { plane, decode, encode, tests }; // for whoever looks behind the page
}

function showStrip(images, name) {
  const canvas = byId("strip"), [height, width] = DATA.shape, one = document.createElement("canvas");
  canvas.width = images.length * width;
  canvas.height = height;
  canvas.hidden = false;
  images.forEach((image, i) => { drawImage(one, image, DATA.shape); canvas.getContext("2d").drawImage(one, i * width, 0); });
  byId("strip-name").textContent = `${images.length} images ${name}`;
}

function startClasses(choice, first, onChange) {
  if (!DATA.classes.length) return;
  byId("class-choice").hidden = false;
  DATA.classes.forEach((name, i) => choice.add(new Option(name, i, i === first, i === first)));
  choice.addEventListener("change", onChange);
}

function startLegend() {
  DATA.labelNames.forEach((name, i) => {
    const item = document.createElement("li"), dot = document.createElement("span");
    dot.style.background = COLOURS[i % COLOURS.length];
    item.append(dot, name);
    byId("legend").append(item);
  });
}

function startSliders(plane) {
  plane.others.forEach((_, i) => {
    const label = document.createElement("label"), slider = document.createElement("input"), said = document.createElement("output");
    const spread = DATA.plane.spread[i + 2];
    label.append(`${DATA.plane.isPrincipal ? "Component" : "Latent"} ${i + 3} `, said, slider);
    Object.assign(slider, { type: "range", min: -3 * spread, max: 3 * spread, step: spread / 20 || 0.1, value: 0 });
    const set = (value) => {
      slider.value = value;
      said.textContent = value.toFixed(2);
      plane.others[i] = value;
    };
    const refresh = () => { plane.changed(); plane.moveTo(plane.cursor); };
    slider.addEventListener("input", () => { set(Number(slider.value)); refresh(); });
    byId("reset").addEventListener("click", () => { set(DATA.plane.others[i]); refresh(); });
    byId("sliders").append(label);
    set(DATA.plane.others[i]);
  });
  byId("reset").hidden = !plane.others.length;
}

// log p(x|z) at the mean of q(z|x), and the KL of q from the prior; nats. For black and white alone.
function score(pixels, posterior, image) {
  const likelihood = pixels.reduce((sum, x, i) => sum + Math.log(Math.max(x > 0.5 ? image[i] : 1 - image[i], 1e-30)), 0);
  let kl = 0;
  for (let i = 0; i < DATA.latents; i++) {
    const mean = posterior[i], logvar = posterior[DATA.latents + i];
    kl += 0.5 * (mean * mean + Math.exp(logvar) - 1 - logvar);
  }
  return likelihood - kl;
}

function startDrawing(plane, encode, decode) {
  const [height, width, channels] = DATA.shape, canvas = byId("draw"), pixels = new Float32Array(height * width * channels);
  if (channels !== 1) return null;
  byId("drawing").hidden = false;
  let pen = [width / 2, height / 2], isEmpty = true, isExample = false; // `pen`: where pointer or keyboard are
  const refresh = () => {
    drawImage(canvas, pixels, DATA.shape);
    plane.drawn = null;
    byId("drawn-says").textContent = "reconstructed";
    if (isEmpty) drawImage(byId("drawn-again"), pixels, DATA.shape); else place();
    plane.draw();
  };
  const place = () => {
    const posterior = encode(pixels), latents = Array.from(posterior.slice(0, DATA.latents)), image = decode(latents);
    drawImage(byId("drawn-again"), image, DATA.shape);
    if (DATA.threshold && DATA.likelihood === "bernoulli") byId("drawn-says").textContent = `reconstructed; log p(x|z) - KL: ${number(score(pixels, posterior, image))} nats`;
    const { centre, axes } = DATA.plane;
    plane.drawn = [0, 1].map((k) => axes[k].reduce((sum, value, i) => sum + value * (latents[i] - centre[i]), 0));
  };
  const dab = ([x, y]) => {
    const radius = Math.max(width, height) / 20;
    for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) {
      const value = Math.min(Math.max(radius + 0.5 - Math.hypot(r + 0.5 - y, c + 0.5 - x), 0), 1);
      const at = r * width + c;
      pixels[at] = DATA.paper ? Math.min(pixels[at], 1 - value) : Math.max(pixels[at], value);
    }
  };
  const clear = () => { pixels.fill(DATA.paper); isEmpty = true; isExample = false; };
  const strokeTo = (next) => {
    if (isExample) clear();
    between(pen, next, Math.ceil(Math.hypot(next[0] - pen[0], next[1] - pen[1])) + 2).forEach(dab);
    pen = next;
    isEmpty = false;
    refresh();
  };
  const placeOf = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); pen = placeOf(event); strokeTo(pen); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons) strokeTo(placeOf(event)); });
  canvas.addEventListener("keydown", (event) => { // arrows draw; with shift they only move
    const move = ARROWS[event.key];
    if (!move) return;
    const next = [pen[0] + move[0], pen[1] - move[1]];
    if (event.shiftKey) pen = next; else strokeTo(next);
    event.preventDefault();
  });
  byId("clear").addEventListener("click", () => { clear(); pen = [width / 2, height / 2]; refresh(); });
  const begin = (image) => { pixels.set(image); isEmpty = false; isExample = true; refresh(); };
  return { refresh, begin };
}

startCurves();
startEpochs(); // a page of several runs has none of the other parts
if (byId("copy")) startCopy();
if (DATA.samples) startMore();
if (DATA.code) startPlane();
