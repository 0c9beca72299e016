// The component: mouse, wheel and keys move the camera; the picture is marched here or comes from the server.
const AIM_MS = 110;  // a frame while moving should not take longer
const TEXTURES = ["texture", "gas", "kelvin", "lut"];

function copyOf(view) { return { ...view, target: [...view.target] }; }

export function render({ model, el }) {
  const host = document.createElement("div");
  host.style.cssText = "position:relative;width:100%;height:100%;background:#000;touch-action:none;outline-offset:-2px";
  host.className = "volume-view";
  host.tabIndex = 0;
  host.setAttribute("role", "application");
  host.setAttribute("aria-label", "Volume: drag or arrow keys turn, shift drag moves, wheel or + and - go nearer, W A S D Q E fly, space spins, R starts again");
  const layer = () => {
    const canvas = document.createElement("canvas");
    canvas.style.cssText = "position:absolute;left:0;top:0;width:100%;height:100%";
    return canvas;
  };
  let picture = layer();
  const sheet = layer();
  host.append(picture, sheet);
  const stats = host.stats = { frames: 0, full: 0, moving: [], still: [], scale: 0.4, first: null, started: performance.now() };
  const overlay = new Overlay(sheet);
  let view = copyOf(model.view), marcher = null, scale = 0.4, job = 0, timer = null, spinning = null, gone = false, waiting = null, last = null, image = null;
  const served = () => !marcher;

  function plain() {  // a canvas that has had WebGL can hold no picture of the server
    marcher?.release(); marcher = null; job++;
    const fresh = layer();
    [fresh.width, fresh.height] = [picture.width, picture.height];
    picture.replaceWith(fresh); picture = fresh; waiting = null;
  }
  function fail(words) {  // told until it is heard: a change made while the page is built does not reach the server
    plain();
    const tell = () => {
      if (gone || marcher || model.renderer !== "webgl") return;
      model.status = ""; model.status = words;
      setTimeout(tell, 3000);
    };
    tell();
  }
  function start() {
    if (marcher || model.renderer !== "webgl") { if (model.renderer !== "webgl") plain(); return; }
    plain();
    try {
      marcher = new Marcher(picture);
      const mine = picture;
      mine.addEventListener("webglcontextlost", () => { if (!gone && picture === mine) fail("the browser took the graphics context away"); });
      upload(TEXTURES);
    } catch (error) { fail(error.message); }
  }
  const stale = new Set();  // textures that came and are not on the card yet
  function upload(names) {
    for (const name of names) stale.add(name);
    if (!marcher) return;
    const shapes = model.shapes, kinds = { texture: [0, shapes.values, "byte", 1], gas: [1, shapes.gas, shapes.gas_kind, shapes.gas_kind === "half" ? 2 : 8], kelvin: [2, shapes.kelvin, "half", 2] };
    try {
      for (const name of [...stale]) {
        const bytes = model[name], [unit, shape, kind, size] = kinds[name] ?? [];
        if (!bytes?.byteLength) continue;
        if (name === "lut") marcher.lut(bytes);
        else if (shape && bytes.byteLength === size * shape[0] * shape[1] * shape[2]) marcher.volume(unit, bytes, shape, kind);
        else continue;  // its shape is still on the way
        stale.delete(name);
      }
    } catch (error) { fail(error.message); }
  }
  function fit() {
    const ratio = window.devicePixelRatio || 1, box = host.getBoundingClientRect();
    const [width, height] = [box.width, box.height].map(n => Math.max(2, Math.round(n)));
    if (sheet.width !== Math.round(width * ratio) || sheet.height !== Math.round(height * ratio)) {
      sheet.width = Math.round(width * ratio); sheet.height = Math.round(height * ratio);
      picture.width = width; picture.height = height;
      return true;
    }
    return false;
  }
  function label(seen = view, part = 1, why = " while it moves") {  // box, ticks and words over a picture of this camera, drawn with this part of its sides
    const scene = part > 0.99 ? model.scene : { ...model.scene, corner: [...model.scene.corner, `the picture is reduced ${(1 / part).toFixed(1)}×${why}`] };
    stats.corner = scene.corner ?? [];
    overlay.draw(scene, cameraOf(seen), sheet.width / Math.max(1, picture.width));
  }

  // -- frames marched here
  function quick() {  // one reduced frame at once
    const begun = performance.now(), coarse = Math.max(0.12, Math.min(1, scale));
    job++;
    marcher.resize(Math.max(8, Math.round(picture.width * coarse)), Math.max(8, Math.round(picture.height * coarse)));
    marcher.aim(model.scene, cameraOf(view), 2 * model.scene.stride);
    marcher.strip(0, marcher.size[1]); marcher.show(); label(view, coarse);
    const ms = performance.now() - begun;
    scale = Math.max(0.12, Math.min(1, coarse * Math.sqrt(Math.min(1.5, Math.max(0.4, AIM_MS / Math.max(ms, 1))))));
    stats.frames++; stats.moving.push(ms); stats.scale = coarse; stats.first ??= performance.now() - stats.started;
  }
  function full() {  // a whole frame in strips, given up when something moves
    const mine = ++job, begun = performance.now();
    let row = 0, rows = 16, spent = 0;
    const step = () => {
      if (mine !== job || gone || !marcher) return;
      if (row === 0 || marcher.size[0] !== picture.width) marcher.resize(picture.width, picture.height);
      marcher.aim(model.scene, cameraOf(view), model.scene.stride);
      const from = performance.now();
      marcher.strip(row, Math.min(row + rows, picture.height));
      const ms = performance.now() - from;
      spent += ms; row += rows;
      rows = Math.max(4, Math.min(picture.height, Math.round(rows * Math.min(2, 80 / Math.max(ms, 1)))));
      if (row < picture.height) { requestAnimationFrame(step); return; }
      marcher.show(); label();
      stats.full++; stats.still.push(spent); stats.first ??= performance.now() - stats.started;
    };
    requestAnimationFrame(step);
  }
  // -- frames of the server: one is asked for when the last has come
  function ask(moving) {
    const wanted = { ...copyOf(view), width: picture.width, height: picture.height, moving, number: (last?.number ?? 0) + 1 };
    if (waiting && performance.now() - waiting.time < 20000) { waiting.next = moving; return; }
    waiting = { time: performance.now(), next: null };
    last = wanted; model.request = wanted;
  }
  async function arrived() {
    const came = waiting, shown = last;  // while the picture is unpacked another one may be asked for
    waiting = null;
    if (!model.frame?.byteLength || marcher || !shown) return;
    try { image = await createImageBitmap(new Blob([model.frame])); } catch { return; }
    if (gone) return;
    picture.getContext("2d")?.drawImage(image, 0, 0, picture.width, picture.height);
    label(shown, image.width / picture.width, shown.moving ? undefined : "");  // the box of the camera that was drawn, not of the one that goes on
    stats.frames++; stats.first ??= performance.now() - stats.started;
    if (shown.moving) stats.moving.push(performance.now() - came?.time); else stats.full++;
    if (came && came.next !== null) ask(came.next);
  }

  function moved() {  // the camera moved: a reduced frame now, a whole one and word to the server when it rests
    if (gone || !model.scene.half) return;
    if (served()) ask(true); else quick();
    clearTimeout(timer);
    timer = setTimeout(settled, 250);
  }
  function settled() {
    if (gone || !model.scene.half) return;
    if (served()) ask(false); else full();
    if (JSON.stringify(model.view) !== JSON.stringify(view)) model.view = copyOf(view);
  }
  let due = false;
  function redraw() {  // once for all changes that come together
    if (due) return;
    due = true;
    requestAnimationFrame(() => {
      due = false;
      if (gone || picture.width < 3 || !model.scene.half) return;
      if (served()) { label(); ask(false); } else { quick(); full(); }
    });
  }
  let queued = false;
  function soon(change) {  // one frame for all events between two frames
    change();
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => { queued = false; moved(); });
  }
  function forward(way) {
    const camera = cameraOf(view);
    view.target = along(view.target, camera.towards, way).map(n => Math.max(-2, Math.min(2, n)));
  }
  function zoom(steps) {  // nearer; at the end of the way the camera flies on through the cloud
    if (view.distance <= 0.051 && steps > 0 && view.perspective) return forward(0.02 * steps);
    view.distance = Math.max(0.05, Math.min(12, view.distance * Math.exp(-0.12 * steps)));
  }
  function turn(across, down) {
    const tenths = angle => Math.round(10 * angle) / 10;
    view.azimuth = tenths(((view.azimuth - across) % 360 + 360) % 360);
    view.elevation = tenths(Math.max(-90, Math.min(90, view.elevation + down)));
  }
  function shift(across, upward) {
    const camera = cameraOf(view), unit = 2 * SLOPE * view.distance / picture.height;
    view.target = along(along(view.target, camera.right, -across * unit), camera.up, upward * unit).map(n => Math.max(-2, Math.min(2, n)));
  }

  let held = null;
  host.addEventListener("pointerdown", event => {
    host.focus({ preventScroll: true }); host.setPointerCapture(event.pointerId);
    held = { x: event.clientX, y: event.clientY, pan: event.shiftKey || event.button === 2 };
    event.preventDefault();
  });
  host.addEventListener("pointermove", event => {
    if (!held) return;
    const [dx, dy] = [event.clientX - held.x, event.clientY - held.y];
    held.x = event.clientX; held.y = event.clientY;
    soon(() => (held?.pan ? shift(dx, dy) : turn(0.4 * dx, 0.4 * dy)));
  });
  for (const name of ["pointerup", "pointercancel"]) host.addEventListener(name, () => { held = null; });
  host.addEventListener("contextmenu", event => event.preventDefault());
  host.addEventListener("wheel", event => {
    if (document.activeElement !== host && host.getRootNode().activeElement !== host) return;  // else the page scrolls
    event.preventDefault();
    soon(() => zoom(Math.max(-4, Math.min(4, -event.deltaY / 60))));
  }, { passive: false });
  const KEYS = {
    ArrowLeft: () => turn(-5, 0), ArrowRight: () => turn(5, 0), ArrowUp: () => turn(0, -5), ArrowDown: () => turn(0, 5),
    "+": () => zoom(1), "=": () => zoom(1), "-": () => zoom(-1), w: () => forward(0.03), s: () => forward(-0.03),
    a: () => shift(20, 0), d: () => shift(-20, 0), q: () => shift(0, -20), e: () => shift(0, 20),
    r: () => { view = copyOf(model.home); }, " ": () => { model.spin = !model.spin; },
  };
  host.addEventListener("keydown", event => {
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault(); event.stopPropagation();
    soon(act);
  });

  function spin() {
    cancelAnimationFrame(spinning);
    let before = performance.now();
    const step = now => {
      if (gone || !model.spin) { settled(); return; }
      if (!waiting) { turn(-Math.max(0.1, 0.03 * Math.min(200, now - before)), 0); before = now; if (served()) ask(true); else quick(); }
      spinning = requestAnimationFrame(step);
    };
    if (model.spin) spinning = requestAnimationFrame(step);
  }
  function shoot() {
    const whole = document.createElement("canvas"), g = whole.getContext("2d");
    whole.width = sheet.width; whole.height = sheet.height;
    g.drawImage(picture, 0, 0, whole.width, whole.height); g.drawImage(sheet, 0, 0);
    const link = document.createElement("a");
    link.download = model.file_name; link.href = whole.toDataURL("image/png"); link.click();
  }
  function keep() {  // the movie that the server has made
    if (!model.movie?.byteLength) return;
    const link = document.createElement("a");
    link.download = model.file_name.replace(/\.png$/, ".webp");
    link.href = URL.createObjectURL(new Blob([model.movie], { type: "image/webp" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  host.read = () => marcher?.read();
  model.on("view", () => { if (JSON.stringify(model.view) !== JSON.stringify(view)) { view = copyOf(model.view); redraw(); } });
  model.on("scene", redraw);
  for (const name of TEXTURES) model.on(name, () => { upload([name]); redraw(); });
  model.on("shapes", () => { upload([]); redraw(); });
  model.on("answered", arrived);
  model.on("renderer", () => { start(); redraw(); });
  model.on("spin", spin);
  model.on("shoot", shoot);
  model.on("movie", keep);
  model.on("remove", () => { gone = true; cancelAnimationFrame(spinning); clearTimeout(timer); watch.disconnect(); marcher?.release(); });
  const watch = new ResizeObserver(() => { if (fit()) redraw(); });
  start();
  watch.observe(host);
  if (model.spin) spin();
  return host;
}
