"use strict";
// A map of all patches on a canvas: every point is written as pixels, which is fast enough for all 400,673 on each frame.
const meta = JSON.parse(document.getElementById("meta").textContent);
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), context = canvas.getContext("2d"); // points, above
const base = $("base"), ground = base.getContext("2d", { alpha: false }); // coasts and borders, below

async function unpack(id) {
  const bytes = Uint8Array.from(atob($(id).textContent.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

// Web Mercator, whole world = 0..1
const mercatorX = (lon) => lon / 360 + 0.5;
const mercatorY = (lat) => 0.5 - Math.log(Math.tan(Math.PI / 4 + (lat * Math.PI) / 360)) / (2 * Math.PI);
const latitude = (y) => (Math.atan(Math.exp((0.5 - y) * 2 * Math.PI)) * 360) / Math.PI - 90;

let n = meta.count, px, py, label, city, splits, row, file, order, visible, outlines = [];
const view = { x: 0.5, y: 0.42, scale: 1 }; // centre, and css pixels of the whole world
let width = 0, height = 0, ratio = 1, image, buffer, chosen = -1, waiting = false;

async function load() {
  const data = await unpack("points");
  let at = 0;
  const take = (kind, size) => { const part = new kind(data, at, n * size); at += part.byteLength; return part; };
  const lon = take(Float32Array, 1), lat = take(Float32Array, 1);
  row = take(Uint32Array, 1);
  splits = take(Uint16Array, 1);
  label = take(Uint8Array, 1); city = take(Uint8Array, 1); file = take(Uint8Array, 1);
  px = new Float64Array(n); py = new Float64Array(n);
  for (let i = 0; i < n; i++) { px[i] = mercatorX(lon[i]); py[i] = mercatorY(lat[i]); }
  visible = new Uint8Array(n).fill(1);
  const arcs = new Int32Array(await unpack("outlines"));
  const [sx, sy] = meta.outlines.scale, [tx, ty] = meta.outlines.translate;
  for (let i = 0; i < arcs.length;) {
    const count = arcs[i++], path = new Float64Array(2 * count);
    let x = 0, y = 0;
    for (let k = 0; k < count; k++) {
      x += arcs[i++]; y += arcs[i++];
      path[2 * k] = mercatorX(x * sx + tx);
      path[2 * k + 1] = mercatorY(Math.max(-85, Math.min(85, y * sy + ty)));
    }
    outlines.push(path);
  }
  controls(); resize(); everything(); filter();
  performance.mark("painted");
  document.documentElement.dataset.ready = "true";
}

function resize() {
  ratio = Math.min(window.devicePixelRatio || 1, 2);
  width = canvas.clientWidth; height = canvas.clientHeight;
  canvas.width = base.width = Math.round(width * ratio);
  canvas.height = base.height = Math.round(height * ratio);
  image = context.createImageData(canvas.width, canvas.height);
  buffer = new Uint32Array(image.data.buffer);
  draw();
}

function everything() { // the whole world, as large as it goes
  view.scale = Math.max(width, height / 0.75); view.x = 0.5; view.y = 0.42;
}

const colors = meta.classes.map((each) => {
  const value = parseInt(each.color.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
});

function draw() {
  if (!px || !canvas.width) return;
  const w = canvas.width, h = canvas.height, s = view.scale * ratio;
  ground.fillStyle = "#eef2f6"; ground.fillRect(0, 0, w, h);
  const left = view.x - w / 2 / s, top = view.y - h / 2 / s;
  ground.strokeStyle = "#9aa5b1"; ground.lineWidth = ratio; ground.beginPath();
  for (const path of outlines) {
    let pen = false;
    for (let k = 0; k < path.length; k += 2) {
      const x = (path[k] - left) * s, y = (path[k + 1] - top) * s;
      if (k && Math.abs(path[k] - path[k - 2]) > 0.5) pen = false; // across the antimeridian
      if (x < -2000 || x > w + 2000 || y < -2000 || y > h + 2000) { pen = false; continue; }
      if (pen) ground.lineTo(x, y); else ground.moveTo(x, y);
      pen = true;
    }
  }
  ground.stroke();
  buffer.fill(0);
  const metres = 40075016 * Math.cos((latitude(view.y) * Math.PI) / 180) / s; // of a canvas pixel
  const side = Math.max(Math.round(4 * ratio), Math.min(64, Math.round(320 / metres))), half = side >> 1;
  for (let i = 0; i < n; i++) {
    if (!visible[i]) continue;
    const x = Math.round((px[i] - left) * s) - half, y = Math.round((py[i] - top) * s) - half;
    if (x < 0 || y < 0 || x + side > w || y + side > h) continue;
    const color = colors[label[i]];
    for (let dy = 0; dy < side; dy++) {
      const start = (y + dy) * w + x;
      for (let dx = 0; dx < side; dx++) buffer[start + dx] = color;
    }
  }
  context.putImageData(image, 0, 0);
  if (chosen >= 0) {
    const x = (px[chosen] - left) * s, y = (py[chosen] - top) * s, r = Math.max(side, 8 * ratio);
    context.strokeStyle = "#000"; context.lineWidth = 2 * ratio; context.strokeRect(x - r / 2, y - r / 2, r, r);
  }
  bar(metres * ratio);
}

function later() { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; draw(); }); } }

function bar(metres) {
  const target = 110 * metres, power = 10 ** Math.floor(Math.log10(target));
  const size = [5, 2, 1].map((f) => f * power).find((f) => f <= target);
  $("scale").style.width = `${size / metres}px`;
  $("scale").textContent = size >= 1000 ? `${size / 1000} km` : `${size} m`;
}

const SPLITS = ["", "train", "validation", "test"];
const splitOf = (i, version) => SPLITS[(splits[i] >> (2 * version)) & 3];

function filter() {
  const classes = meta.classes.map((_, k) => $(`class-${k}`).checked);
  const where = +$("city").value, version = +$("version").value, split = $("split").value;
  let count = 0;
  for (let i = 0; i < n; i++) {
    const shown = classes[label[i]] && (where < 0 || city[i] === where) && (!split || splitOf(i, version) === split);
    visible[i] = shown ? 1 : 0; count += visible[i];
  }
  $("count").textContent = count.toLocaleString("en");
  later();
}

function controls() {
  const counts = new Array(meta.classes.length).fill(0);
  for (let i = 0; i < n; i++) counts[label[i]]++;
  meta.classes.forEach((each, k) => {
    const line = document.createElement("label"); line.className = "row";
    const box = document.createElement("input"); box.type = "checkbox"; box.checked = true; box.id = `class-${k}`;
    const chip = document.createElement("span"); chip.className = "chip"; chip.style.background = each.color;
    const name = document.createElement("span"); name.textContent = `${each.code} ${each.name}`;
    const number = document.createElement("span"); number.className = "n"; number.textContent = counts[k].toLocaleString("en");
    box.addEventListener("change", filter);
    line.append(box, chip, name, number); $("classes").append(line);
  });
  const option = (select, value, text) => { const o = document.createElement("option"); o.value = value; o.textContent = text; select.append(o); };
  option($("city"), -1, "everywhere");
  meta.cities.map((name, k) => [name, k]).sort().forEach(([name, k]) => option($("city"), k, name));
  meta.versions.forEach((name, k) => option($("version"), k, name));
  $("version").value = Math.max(0, meta.versions.indexOf("culture_10"));
  SPLITS.forEach((name) => option($("split"), name, name || "all splits"));
  $("version").addEventListener("change", filter); $("split").addEventListener("change", filter);
  $("city").addEventListener("change", () => { filter(); fly(+$("city").value); });
  for (const [id, value] of [["all", true], ["none", false]])
    $(id).addEventListener("click", () => { meta.classes.forEach((_, k) => { $(`class-${k}`).checked = value; }); filter(); });
  $("in").addEventListener("click", () => zoom(2, width / 2, height / 2));
  $("out").addEventListener("click", () => zoom(0.5, width / 2, height / 2));
  $("home").addEventListener("click", () => { everything(); later(); });
}

function fly(where) {
  if (where < 0) { everything(); later(); return; }
  let x0 = 2, x1 = -1, y0 = 2, y1 = -1;
  for (let i = 0; i < n; i++) if (city[i] === where) { x0 = Math.min(x0, px[i]); x1 = Math.max(x1, px[i]); y0 = Math.min(y0, py[i]); y1 = Math.max(y1, py[i]); }
  view.x = (x0 + x1) / 2; view.y = (y0 + y1) / 2;
  view.scale = 0.85 * Math.min(width / Math.max(x1 - x0, 1e-5), height / Math.max(y1 - y0, 1e-5));
  later();
}

function zoom(factor, x, y) {
  const scale = Math.max(200, Math.min(1e8, view.scale * factor)), f = scale / view.scale;
  const gx = view.x + (x - width / 2) / view.scale, gy = view.y + (y - height / 2) / view.scale;
  view.x = gx + (view.x - gx) / f; view.y = gy + (view.y - gy) / f; view.scale = scale;
  later();
}

function pick(x, y) {
  const gx = view.x + (x - width / 2) / view.scale, gy = view.y + (y - height / 2) / view.scale;
  let best = -1, least = (14 / view.scale) ** 2;
  for (let i = 0; i < n; i++) {
    if (!visible[i]) continue;
    const d = (px[i] - gx) ** 2 + (py[i] - gy) ** 2;
    if (d < least) { least = d; best = i; }
  }
  show(best);
}

function show(i) {
  chosen = i;
  const card = $("card"); card.textContent = "";
  if (i >= 0) {
    const id = `${meta.files[file[i]]}/${String(row[i]).padStart(6, "0")}`, lcz = meta.classes[label[i]];
    const list = document.createElement("dl");
    const line = (name, value) => { const a = document.createElement("dt"), b = document.createElement("dd"); a.textContent = name; b.textContent = value; list.append(a, b); };
    const source = meta.server ? `picture/${id.replaceAll("/", "_")}.png` : meta.pictures[id] ? `data:image/png;base64,${meta.pictures[id]}` : "";
    if (source) { const img = new Image(); img.src = source; img.alt = `True colour of ${id}`; card.append(img); }
    line("id", id); line("class", `LCZ ${lcz.code} ${lcz.name}`); line("city", meta.cities[city[i]]);
    line("longitude", (px[i] * 360 - 180).toFixed(5)); line("latitude", latitude(py[i]).toFixed(5));
    meta.versions.forEach((name, k) => line(name, splitOf(i, k) || "in no split"));
    if (!source && meta.hint) line("picture", meta.hint);
    card.append(list);
  }
  later();
}

const fingers = new Map(); let moved = 0, gap = 0;
canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); fingers.set(e.pointerId, [e.offsetX, e.offsetY]); moved = 0; gap = 0; });
canvas.addEventListener("pointermove", (e) => {
  if (!fingers.has(e.pointerId)) return;
  const [x, y] = fingers.get(e.pointerId);
  fingers.set(e.pointerId, [e.offsetX, e.offsetY]);
  if (fingers.size === 2) {
    const [[ax, ay], [bx, by]] = [...fingers.values()], now = Math.hypot(ax - bx, ay - by);
    if (gap) zoom(now / gap, (ax + bx) / 2, (ay + by) / 2);
    gap = now; moved = 99; return;
  }
  moved += Math.abs(e.offsetX - x) + Math.abs(e.offsetY - y);
  view.x -= (e.offsetX - x) / view.scale; view.y -= (e.offsetY - y) / view.scale; later();
});
canvas.addEventListener("pointerup", (e) => { fingers.delete(e.pointerId); gap = 0; if (moved < 4) pick(e.offsetX, e.offsetY); });
canvas.addEventListener("pointercancel", (e) => fingers.delete(e.pointerId));
canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 400), e.offsetX, e.offsetY); }, { passive: false });
window.addEventListener("resize", resize);
load();
