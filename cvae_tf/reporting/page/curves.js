"use strict";
// Zooms the curves to some epochs, each with its own scale, and tells their values; the page has them whole.

const pointsOf = (line) => Array.from(line.points, ({ x, y }) => ({ epoch: Math.round(x), value: Number((-y).toPrecision(6)) }));

function zoomCurve(figure, first, last) {
  const plot = figure.querySelector(".plot"), all = [...plot.querySelectorAll("polyline")].flatMap(pointsOf);
  const values = all.filter(({ epoch }) => epoch >= first && epoch <= last).map(({ value }) => value);
  const low = Math.min(...values, Infinity), high = Math.max(...values, -Infinity), width = last - first, height = high - low || 1;
  const say = (name, text) => { figure.querySelector(`.${name}`).textContent = text; };
  if (values.length) plot.setAttribute("viewBox", [first - 0.02 * width, -high - 0.04 * height, 1.04 * width, 1.08 * height].join(" "));
  say("high", values.length ? Number(high.toPrecision(4)) : "");
  say("low", values.length ? Number(low.toPrecision(4)) : "");
  say("first", `epoch ${first}`);
  say("last", last);
}

function tellValues(figure) { // of the epoch that is nearest to the pointer, below the picture
  const plot = figure.querySelector(".plot"), said = figure.querySelector(".value");
  const lines = [...plot.querySelectorAll("polyline")].map((line) => [line.dataset.name, pointsOf(line)]);
  figure.addEventListener("pointermove", (event) => {
    const { x } = new DOMPoint(event.clientX, event.clientY).matrixTransform(plot.getScreenCTM().inverse());
    const epochs = lines.flatMap(([, points]) => points.map(({ epoch }) => epoch));
    const nearest = epochs.reduce((best, epoch) => (Math.abs(epoch - x) < Math.abs(best - x) ? epoch : best), epochs[0]);
    const there = lines.flatMap(([name, points]) => points.filter(({ epoch }) => epoch === nearest).map(({ value }) => `${name} ${value}`));
    said.textContent = there.length ? `; epoch ${nearest}: ${there.join(", ")}` : "";
  });
}

function startCurves() {
  const all = document.querySelectorAll("figure.curve"), from = document.getElementById("from"), to = document.getElementById("to");
  all.forEach(tellValues);
  if (!from) return;
  const refresh = (moved) => {
    const other = moved === from ? to : from;
    if (Number(from.value) >= Number(to.value)) other.value = Number(moved.value) + (moved === from ? 1 : -1);
    if (Number(from.value) >= Number(to.value)) moved.value = Number(other.value) + (moved === from ? -1 : 1); // at an end
    document.getElementById("epochs-shown").textContent = `Epochs ${from.value} to ${to.value}`;
    all.forEach((figure) => zoomCurve(figure, Number(from.value), Number(to.value)));
  };
  [from, to].forEach((slider) => slider.addEventListener("input", () => refresh(slider)));
}
