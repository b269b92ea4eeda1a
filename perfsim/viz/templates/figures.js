"use strict";
// Unpacks plotly and the figures' arrays, draws the figures, and lets the controls of the page color and turn the scene.
const TYPES = {f4: Float32Array, i2: Int16Array, i4: Int32Array, i1: Int8Array, u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f8: Float64Array};
const bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
const unpack = id => new Response(new Blob([bytes(document.getElementById(id).textContent)]).stream().pipeThrough(new DecompressionStream("gzip"))).text();

function unpackArrays(value) {
  if (Array.isArray(value)) return value.map(unpackArrays);
  if (value === null || typeof value !== "object") return value;
  if (value.bdata !== undefined) return new TYPES[value.dtype](bytes(value.bdata).buffer);
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpackArrays(v)]));
}

function paint(trace, choice, k) {
  const values = Float32Array.from(choice.values[k], step => choice.low + step / 255 * (choice.high - choice.low));
  const scale = {cmin: choice.low, cmax: choice.high, colorscale: choice.colors};
  if (trace.type === "scatter3d") Object.assign(trace.line, scale, {color: values});
  else {
    Object.assign(trace, scale, {intensity: values});
    trace.colorbar.title.text = choice.title;
  }
}

async function draw() {
  const code = document.createElement("script");
  code.textContent = await unpack("plotly-packed");
  document.head.append(code);
  const figures = unpackArrays(JSON.parse(await unpack("figures-packed")));
  const options = {responsive: true, displayModeBar: false};
  for (const axis of "xyz") figures.scene.data[1][axis] = Float32Array.from(figures.scene.data[1][axis], at => at === -32768 ? NaN : at);
  const {scene, ...curves} = figures;
  for (const [id, figure] of Object.entries(curves)) await Plotly.newPlot(id, figure.data, figure.layout, options);
  const chosen = id => document.getElementById(id).value;
  const show = () => {
    const vessel = scene.vessel[chosen("vessel")], wall = scene.wall[chosen("wall")];
    paint(scene.data[0], vessel, 0);
    paint(scene.data[1], vessel, 1);
    scene.data[2].visible = wall !== undefined;
    if (wall) paint(scene.data[2], wall, 0);
    return Plotly.react("scene", scene.data, scene.layout, options);
  };
  const main = figures.pullback.data.map(line => line.visible === true);
  const pull = () => {
    const name = chosen("branches");
    const on = figures.pullback.data.map((line, k) => name === "main branches" ? main[k] : name === "all" || line.legendgroup === name);
    Plotly.restyle("pullback", {visible: on.map(x => x || "legendonly"), showlegend: on});
  };
  document.getElementById("branches").addEventListener("change", pull);
  scene.layout.scene.camera = Object.values(scene.cameras)[0];
  scene.layout.scene.uirevision = "kept";
  for (const id of ["vessel", "wall"]) document.getElementById(id).addEventListener("change", show);
  for (const button of document.querySelectorAll(".camera"))
    button.addEventListener("click", () => Plotly.relayout("scene", {"scene.camera": scene.cameras[button.textContent]}));
  await show();
}

draw().catch(error => {
  for (const place of document.querySelectorAll(".figure"))
    place.textContent = `This figure could not be drawn (${error.message}); it needs a browser of 2023 or later. The tables hold its numbers.`;
});
