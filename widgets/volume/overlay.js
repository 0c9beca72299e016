// The camera, and what is drawn over the picture: box, ticks, planes of the slices, markers, colour bar, words.
const SLOPE = Math.tan(Math.PI / 9);  // half of a field of view of 40 degrees
const dot3 = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const along = (a, b, t) => [0, 1, 2].map(i => a[i] + t * b[i]);

function cameraOf(view) {
  const az = view.azimuth * Math.PI / 180, el = view.elevation * Math.PI / 180;
  const [ca, sa, ce, se] = [Math.cos(az), Math.sin(az), Math.cos(el), Math.sin(el)];
  const towards = [ce * ca, ce * sa, -se], up = [se * ca, se * sa, ce], right = [sa, -ca, 0];
  const target = view.target, distance = view.distance;
  return { towards, up, right, target, distance, slope: SLOPE, perspective: view.perspective, eye: along(target, towards, -distance) };
}

class Overlay {
  constructor(canvas) { this.canvas = canvas; this.context = canvas.getContext("2d"); }
  depth(p) { return this.camera.perspective ? dot3(along(p, this.camera.eye, -1), this.camera.towards) : this.camera.distance; }
  project(p) {  // world to screen [px]; null behind the eye
    const c = this.camera, d = this.depth(p);
    if (d < 1e-3) return null;
    const q = along(p, c.perspective ? c.eye : c.target, -1), scale = this.height / (2 * c.slope * d);
    return [this.width / 2 + dot3(q, c.right) * scale, this.height / 2 - dot3(q, c.up) * scale];
  }
  line(a, b) {
    let [da, db] = [this.depth(a), this.depth(b)];
    if (da < 2e-3 && db < 2e-3) return;
    const cut = (from, to, df, dt) => along(from, along(to, from, -1), (2e-3 - df) / (dt - df));
    if (da < 2e-3) a = cut(a, b, da, db); else if (db < 2e-3) b = cut(b, a, db, da);
    const [p, q] = [this.project(a), this.project(b)];
    if (!p || !q) return;
    const g = this.context;
    g.beginPath(); g.moveTo(...p); g.lineTo(...q); g.stroke();
  }
  write(text, x, y, align = "center", size = 12) {
    const g = this.context;
    g.font = `${size}px system-ui, sans-serif`; g.textAlign = align; g.textBaseline = "middle";
    g.lineWidth = 3; g.strokeStyle = "rgba(0,0,0,0.75)"; g.strokeText(text, x, y);
    g.fillStyle = "#f2f2f2"; g.fillText(text, x, y);
  }
  draw(scene, camera, ratio) {
    const g = this.context, { width, height } = this.canvas;
    this.camera = camera; this.width = width / ratio; this.height = height / ratio;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, this.width, this.height);
    if (!scene.half) return;  // nothing is shown yet
    if (scene.show_axes) { this.box(scene.half); scene.axes.forEach((axis, i) => this.axis(axis, i, scene.half)); }
    if (scene.show_planes) this.planes(scene);
    this.markers(scene.markers);
    this.bar(scene);
    scene.corner.forEach((text, i) => this.write(text, 10, 16 + 16 * i, "left"));
  }
  box(half) {
    const g = this.context, corner = bits => [0, 1, 2].map(i => (bits >> i & 1 ? 1 : -1) * half[i]);
    g.strokeStyle = "rgba(255,255,255,0.45)"; g.lineWidth = 1;
    for (let bits = 0; bits < 8; bits++)
      for (let i = 0; i < 3; i++) if (!(bits >> i & 1)) this.line(corner(bits), corner(bits | 1 << i));
  }
  axis(axis, i, half) {  // label the edge that lies farthest out, below rather than above
    const [j, k] = [0, 1, 2].filter(n => n !== i), middle = this.project([0, 0, 0]);
    if (!middle) return;
    let best = null;
    for (const [sj, sk] of [[-1, -1], [-1, 1], [1, -1], [1, 1]]) {
      const at = t => { const p = [0, 0, 0]; p[i] = t * half[i]; p[j] = sj * half[j]; p[k] = sk * half[k]; return p; };
      const [a, b, m] = [at(-1), at(1), at(0)].map(p => this.project(p));
      if (!a || !b || !m) continue;
      const out = Math.hypot(m[0] - middle[0], m[1] - middle[1]) + 0.3 * (m[1] - middle[1]);
      if (!best || out > best.out) best = { out, at, a, b, m };
    }
    if (!best || Math.hypot(best.a[0] - best.b[0], best.a[1] - best.b[1]) < 60) return;
    const off = [best.m[0] - middle[0], best.m[1] - middle[1]], long = Math.hypot(...off) || 1;
    const push = (p, by) => [Math.min(this.width - 24, Math.max(24, p[0] + off[0] / long * by)), Math.min(this.height - 10, Math.max(10, p[1] + off[1] / long * by))];
    const [low, high] = axis.ends, span = Math.abs(high - low), raw = span / 4, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].find(s => s * power >= raw * 0.999) * power;
    for (let n = Math.ceil(Math.min(low, high) / step - 1e-6); n * step <= Math.max(low, high) + 1e-6 * span; n++) {
      const p = this.project(best.at(2 * (n * step - low) / (high - low) - 1));
      if (p) this.write(String(+(n * step).toPrecision(6)), ...push(p, 14), "center", 11);
    }
    this.write(axis.label, ...push(best.m, 36), "center", 13);
  }
  planes(scene) {
    const g = this.context, colours = ["#56B4E9", "#E69F00", "#D55E00"];
    scene.planes.forEach((value, i) => {
      const [j, k] = [0, 1, 2].filter(n => n !== i);
      const at = (sj, sk) => { const p = [0, 0, 0]; p[i] = value; p[j] = sj * scene.half[j]; p[k] = sk * scene.half[k]; return p; };
      const corners = [at(-1, -1), at(1, -1), at(1, 1), at(-1, 1)];
      g.strokeStyle = colours[i]; g.lineWidth = 1.2;
      corners.forEach((p, n) => this.line(p, corners[(n + 1) % 4]));
    });
  }
  markers(markers) {
    const g = this.context;
    for (const { place, name } of markers) {
      const p = this.project(place);
      if (!p) continue;
      for (const [colour, width] of [["#000", 3.5], ["#fff", 1.6]]) {
        g.strokeStyle = colour; g.lineWidth = width;
        g.beginPath(); g.arc(...p, 7, 0, 2 * Math.PI); g.stroke();
      }
      if (markers.length <= 30 && name) this.write(name, p[0] + 11, p[1], "left", 11);
    }
  }
  bar(scene) {
    const g = this.context, bar = scene.bar, long = Math.min(220, this.height - 120), x = this.width - 34, y = this.height / 2 - long / 2;
    if (!bar) return;
    const shades = g.createLinearGradient(0, y + long, 0, y);
    bar.colours.forEach((colour, i) => shades.addColorStop(i / (bar.colours.length - 1), colour));
    g.fillStyle = shades; g.fillRect(x, y, 14, long);
    g.strokeStyle = "rgba(255,255,255,0.6)"; g.lineWidth = 1; g.strokeRect(x, y, 14, long);
    bar.ticks.forEach(({ at, text }) => this.write(text, x - 5, y + long * (1 - at), "right", 11));
    this.write(bar.label, this.width - 12, y - 16, "right", 12);
  }
}
