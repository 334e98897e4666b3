"use strict";
// Draws the curves, from an epoch on, and tells the values below the pointer.

const WIDE = 380, HIGH = 220, LEFT = 62, RIGHT = 8, TOP = 10, BELOW = 40; // of a picture, and its margins

function number(value) { // as people write it: -19,861 or 7.366
  const digits = value ? 3 - Math.floor(Math.log10(Math.abs(value))) : 0;
  return value.toLocaleString("en", { maximumFractionDigits: Math.min(Math.max(digits, 0), 20) });
}

function ticks(low, high, least) { // round numbers in a range, a few of them
  const rough = Math.max((high - low) / 6, least), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough * 0.999), first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, i) => (first + i) * step);
}

function svgPart(name, attributes, text = "") {
  const found = document.createElementNS("http://www.w3.org/2000/svg", name);
  Object.entries(attributes).forEach(([key, value]) => found.setAttribute(key, value));
  found.textContent = text;
  return found;
}

function drawCurve(figure, { title, unit, lines }, colours, first) {
  const named = Object.entries(lines).map(([name, points]) => [name, points.filter(([epoch]) => epoch >= first)]);
  const all = named.flatMap(([, points]) => points), epochs = all.map(([epoch]) => epoch), values = all.map(([, value]) => value);
  const last = Math.max(...epochs), low = Math.min(...values), high = Math.max(...values), room = (high - low || Math.abs(high) || 1) * 0.06;
  const x = (epoch) => LEFT + 8 + ((epoch - first) / (last - first || 1)) * (WIDE - LEFT - RIGHT - 16);
  const y = (value) => HIGH - BELOW - ((value - low + room) / (high - low + 2 * room)) * (HIGH - BELOW - TOP);
  const svg = svgPart("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": `${title} by epoch` });
  ticks(low - room, high + room, 1e-9).forEach((value) => svg.append(
    svgPart("path", { class: "axis", d: `M${LEFT} ${y(value)}H${WIDE - RIGHT}` }),
    svgPart("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, number(Number(value.toPrecision(6)))),
  ));
  ticks(first, last, 1).forEach((epoch) => svg.append(
    svgPart("path", { class: "axis", d: `M${x(epoch)} ${HIGH - BELOW}v5` }),
    svgPart("text", { x: x(epoch), y: HIGH - BELOW + 18, "text-anchor": "middle" }, epoch),
  ));
  svg.append(svgPart("text", { x: (WIDE + LEFT) / 2, y: HIGH - 4, "text-anchor": "middle" }, "epoch"));
  named.forEach(([name, points]) => {
    const line = svgPart("g", { class: "line", style: `stroke: ${colours[name]}` });
    line.append(svgPart("polyline", { points: points.map(([epoch, value]) => `${x(epoch)},${y(value)}`).join(" ") }));
    if (points.length <= 60) line.append(svgPart("path", { class: "dots", d: points.map(([epoch, value]) => `M${x(epoch)},${y(value)}h0`).join("") }));
    svg.append(line);
  });
  figure.querySelector("svg")?.remove();
  figure.prepend(svg);
  svg.addEventListener("pointermove", (event) => { // what the nearest epoch has
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
    const nearest = epochs.reduce((best, epoch) => (Math.abs(x(epoch) - place) < Math.abs(x(best) - place) ? epoch : best));
    const there = named.flatMap(([name, points]) => points.filter(([epoch]) => epoch === nearest).map(([, value]) => `${name} ${number(value)}`));
    figure.querySelector(".value").textContent = `epoch ${nearest}: ${there.join(", ")}`;
  });
}

function captionOf({ title, unit, lines }, colours) {
  const caption = document.createElement("figcaption"), value = document.createElement("div");
  caption.append(unit ? `${title}, ${unit}: ` : `${title}: `);
  Object.keys(lines).forEach((name, i) => {
    const word = document.createElement("span");
    word.style.color = colours[name];
    word.textContent = name;
    caption.append(i ? ", " : "", word);
  });
  value.className = "value";
  value.setAttribute("aria-live", "polite");
  caption.append(value);
  return caption;
}

function startCurves() {
  const holder = document.getElementById("curves"), from = document.getElementById("from");
  if (!holder || !DATA.curves.length) return;
  const epochs = DATA.curves.flatMap(({ lines }) => Object.values(lines).flat()).map(([epoch]) => epoch);
  const names = [...new Set(DATA.curves.flatMap(({ lines }) => Object.keys(lines)))];
  const colours = Object.fromEntries(names.map((name, i) => [name, `var(--c${i % 5})`])); // the same in all
  const first = Math.min(...epochs), last = Math.max(...epochs);
  const figures = DATA.curves.map((curve) => {
    const figure = document.createElement("figure");
    figure.className = "curve";
    figure.append(captionOf(curve, colours));
    holder.append(figure);
    return figure;
  });
  const refresh = () => {
    DATA.curves.forEach((curve, i) => drawCurve(figures[i], curve, colours, Number(from.value)));
    document.getElementById("from-epoch").textContent = from.value;
  };
  Object.assign(from, { min: first, max: Math.max(last - 1, first), value: first });
  document.getElementById("from-choice").hidden = last - first < 8;
  from.addEventListener("input", refresh);
  refresh();
}
