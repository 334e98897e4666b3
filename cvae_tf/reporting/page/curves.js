"use strict";
// Zooms the curves to some epochs, each with its own scale; `curves.py` has drawn them whole.

function drawCurves(picture, first, last) {
  const [left, top, right, bottom] = picture.dataset.plot.split(",").map(Number), all = [...picture.querySelectorAll("circle")];
  const epochOf = (dot) => Number(dot.dataset.epoch), valueOf = (dot) => Number(dot.dataset.value);
  const isInside = (dot) => epochOf(dot) >= first && epochOf(dot) <= last, values = all.filter(isInside).map(valueOf);
  const low = Math.min(...values, Infinity), high = Math.max(...values, -Infinity), height = high - low || Math.abs(high) / 10 || 0.1;
  for (const line of picture.querySelectorAll("g")) {
    const points = [];
    for (const dot of line.querySelectorAll("circle")) {
      dot.style.display = isInside(dot) ? "" : "none";
      if (!isInside(dot)) continue;
      const x = left + ((epochOf(dot) - first) / (last - first)) * (right - left);
      const y = top + ((low + height - valueOf(dot)) / height) * (bottom - top);
      dot.setAttribute("cx", x.toFixed(1));
      dot.setAttribute("cy", y.toFixed(1));
      points.push(`${x.toFixed(1)},${y.toFixed(1)}`);
    }
    line.querySelector("polyline").setAttribute("points", points.join(" "));
  }
  const say = (name, text) => { picture.querySelector(`.${name}`).textContent = text; };
  say("high", values.length ? Number((low + height).toPrecision(4)) : "");
  say("low", values.length ? Number(low.toPrecision(4)) : "");
  say("first", `epoch ${first}`);
  say("last", last);
}

function tellValues(picture) { // of the epoch that is nearest to the pointer, below the picture
  const all = [...picture.querySelectorAll("circle")], said = picture.parentNode.querySelector(".value");
  picture.addEventListener("pointermove", (event) => {
    const shown = all.filter((dot) => dot.style.display !== "none"), x = (dot) => Math.abs(dot.getBoundingClientRect().x - event.clientX);
    if (!shown.length) return;
    const { epoch } = shown.reduce((best, dot) => (x(dot) < x(best) ? dot : best)).dataset;
    said.textContent = ` ${shown.filter((dot) => dot.dataset.epoch === epoch).map((dot) => dot.textContent).join("; ")}`;
  });
}

function startCurves() {
  document.querySelectorAll("svg.curve").forEach(tellValues);
  const from = document.getElementById("from"), to = document.getElementById("to");
  if (!from) return;
  const refresh = (moved) => {
    const other = moved === from ? to : from;
    if (Number(from.value) >= Number(to.value)) other.value = Number(moved.value) + (moved === from ? 1 : -1);
    if (Number(from.value) >= Number(to.value)) moved.value = Number(other.value) + (moved === from ? -1 : 1); // at an end
    document.getElementById("epochs-shown").textContent = `Epochs ${from.value} to ${to.value}`;
    document.querySelectorAll("svg.curve").forEach((picture) => drawCurves(picture, Number(from.value), Number(to.value)));
  };
  [from, to].forEach((slider) => slider.addEventListener("input", () => refresh(slider)));
}
