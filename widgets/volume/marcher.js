// Rays through 3D textures in WebGL2. World axes x, y, z are right-handed; the longest side of the box is 1.
const VERTEX = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;

const FRAGMENT = `#version 300 es
precision highp float; precision highp int; precision highp sampler3D;
uniform sampler3D values, gas, kelvin;   // values on the scale; v_z, v_y, v_x and opacity; temperature
uniform sampler2D lut;                   // lower row: colour and opacity on the scale; upper row: colours alone
uniform vec3 halfSides, fill, clipLow, clipHigh, eye, target, towards, right, up;
uniform vec2 resolution;
uniform float slope, distance_, stride, density, channel, thermal, broad, peak, transition, behind, cell, thinStep;
uniform int mode, perspective, thin;
out vec4 colour;

vec3 place(vec3 p) { return (p + halfSides) / (2.0 * halfSides) * fill; }

float erf(float x) {  // Abramowitz & Stegun 7.1.26
  float a = abs(x), t = 1.0 / (1.0 + 0.3275911 * a);
  float p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(x) * (1.0 - p * exp(-a * a));
}

float profile(float u0, float u1, float inverse) {  // mean of exp(-x^2) from face to face of a step
  float x0 = (u0 - channel) * inverse, x1 = (u1 - channel) * inverse, d = x1 - x0, m = 0.5 * (x0 + x1);
  if (min(abs(x0), abs(x1)) > 5.0 && x0 * x1 > 0.0) return 0.0;
  if (abs(d) < 0.05) return exp(-m * m);
  return max(0.0, 0.8862269 * (erf(x1) - erf(x0)) / d);
}

float planck(float t) { return transition / (exp(transition / t) - 1.0); }

void main() {
  vec2 p = (2.0 * gl_FragCoord.xy / resolution - 1.0) * slope * vec2(resolution.x / resolution.y, 1.0);
  vec3 start = eye, ray = towards;
  if (perspective == 1) ray = normalize(towards + p.x * right + p.y * up);
  else start = target + distance_ * (p.x * right + p.y * up) - 8.0 * towards;
  vec3 safe = mix(ray, vec3(1e-9), vec3(lessThan(abs(ray), vec3(1e-9))));
  vec3 a = (clipLow - start) / safe, b = (clipHigh - start) / safe, near = min(a, b), far = max(a, b);
  float begin = max(0.0, max(near.x, max(near.y, near.z))), end = min(far.x, min(far.y, far.z));
  colour = vec4(0.0, 0.0, 0.0, 1.0);
  if (end - begin < 1e-6) return;
  int steps = clamp(int(ceil((end - begin) / stride - 1e-3)), 1, 4096);
  float ds = (end - begin) / float(steps);
  if (mode == 0) {
    vec3 sum = vec3(0.0); float clear = 1.0;
    for (int i = 0; i < steps; i++) {
      vec4 c = texture(lut, vec2(texture(values, place(start + ray * (begin + (float(i) + 0.5) * ds))).r * 0.99609375 + 0.001953125, 0.25));
      float alpha = 1.0 - exp(-c.a * density * ds);
      sum += clear * alpha * c.rgb; clear *= 1.0 - alpha;
      if (clear < 0.005) break;
    }
    colour.rgb = sum;
  } else if (mode == 1) {
    float most = 0.0;
    for (int i = 0; i < steps; i++)
      most = max(most, texture(values, place(start + ray * (begin + (float(i) + 0.5) * ds))).r);
    colour.rgb = texture(lut, vec2(most * 0.99609375 + 0.001953125, 0.25)).rgb;
  } else {
    float tau = 0.0, brightness = 0.0, u0 = 0.0;
    vec3 along = vec3(ray.z, ray.y, ray.x);
    if (thin == 0) u0 = dot(texture(gas, place(start + ray * begin)).rgb, along);
    for (int i = 0; i < steps; i++) {
      vec3 mid = place(start + ray * (begin + (float(i) + 0.5) * ds));
      if (thin == 1) { brightness += texture(gas, mid).r * ds * thinStep; continue; }
      float u1 = dot(texture(gas, place(start + ray * (begin + float(i + 1) * ds))).rgb, along);
      float t = texture(kelvin, mid).r, inverse = inversesqrt(broad + thermal * t);
      float kappa = texture(gas, mid).a * 0.56418958 * inverse * profile(u0, u1, inverse) * ds / cell;
      brightness += (planck(t) - behind) * (1.0 - exp(-kappa)) * exp(-tau);
      tau += kappa; u0 = u1;
      if (tau > 12.0) break;
    }
    colour.rgb = texture(lut, vec2(clamp(brightness / peak, 0.0, 1.0) * 0.99609375 + 0.001953125, 0.75)).rgb;
  }
}`;

const MODES = { composite: 0, maximum: 1, emission: 2 };

class Marcher {
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("no WebGL2 in this browser");
    this.gl = gl; this.canvas = canvas; this.places = {};
    const program = this.program = gl.createProgram();
    for (const [kind, code] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, code); gl.compileShader(shader); gl.attachShader(program, shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    gl.bindVertexArray(gl.createVertexArray());
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    this.textures = ["values", "gas", "kelvin", "lut", "picture"].map((name, unit) => {
      const texture = gl.createTexture(), kind = unit < 3 ? gl.TEXTURE_3D : gl.TEXTURE_2D;
      gl.activeTexture(gl.TEXTURE0 + unit); gl.bindTexture(kind, texture);
      for (const key of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(kind, key, gl.LINEAR);
      for (const key of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R])
        if (unit < 3 || key !== gl.TEXTURE_WRAP_R) gl.texParameteri(kind, key, gl.CLAMP_TO_EDGE);
      if (unit < 4) gl.uniform1i(this.at(name), unit);
      if (unit < 3) gl.texImage3D(kind, 0, gl.R8, 1, 1, 1, 0, gl.RED, gl.UNSIGNED_BYTE, new Uint8Array(1));
      return texture;
    });
    this.frame = gl.createFramebuffer();
    this.size = [0, 0];
  }
  at(name) { return this.places[name] ??= this.gl.getUniformLocation(this.program, name); }
  volume(unit, bytes, shape, kind) {  // shape is (depth, rows, columns)
    const gl = this.gl, [internal, format, type, View] = {
      byte: [gl.R8, gl.RED, gl.UNSIGNED_BYTE, Uint8Array],
      half: [gl.R16F, gl.RED, gl.HALF_FLOAT, Uint16Array],
      halves: [gl.RGBA16F, gl.RGBA, gl.HALF_FLOAT, Uint16Array],
    }[kind];
    if (Math.max(...shape) > gl.getParameter(gl.MAX_3D_TEXTURE_SIZE)) throw new Error("a 3D texture too large for this card");
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.texImage3D(gl.TEXTURE_3D, 0, internal, shape[2], shape[1], shape[0], 0, format, type, new View(bytes));
  }
  lut(bytes) {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE3);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 2, 0, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(bytes));
  }
  aim(scene, camera, stride) {  // set what a frame depends on
    const gl = this.gl, f = (name, value) => gl.uniform1f(this.at(name), value);
    const v = (name, value) => gl.uniform3fv(this.at(name), value);
    gl.uniform1i(this.at("mode"), MODES[scene.mode]);
    gl.uniform1i(this.at("perspective"), camera.perspective ? 1 : 0);
    gl.uniform1i(this.at("thin"), scene.thin ? 1 : 0);
    v("halfSides", scene.half); v("fill", scene.mode === "emission" ? scene.gas_fill : scene.fill);
    v("clipLow", scene.clip_low); v("clipHigh", scene.clip_high);
    for (const name of ["eye", "target", "towards", "right", "up"]) v(name, camera[name]);
    f("slope", camera.slope); f("distance_", camera.distance); f("stride", stride);
    for (const name of ["density", "channel", "thermal", "broad", "peak", "transition", "behind", "cell"]) f(name, scene[name]);
    f("thinStep", scene.thin_step);
  }
  resize(width, height) {
    const gl = this.gl;
    if (this.size[0] !== width || this.size[1] !== height) {
      gl.activeTexture(gl.TEXTURE4);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, width, height, 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
      gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.textures[4], 0);
      this.size = [width, height];
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.viewport(0, 0, width, height);
    gl.uniform2f(this.at("resolution"), width, height);
  }
  strip(first, last) {  // march the rays of some rows, and wait for them
    const gl = this.gl, one = new Uint8Array(4);
    gl.enable(gl.SCISSOR_TEST); gl.scissor(0, first, this.size[0], last - first);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.disable(gl.SCISSOR_TEST);
    gl.readPixels(0, first, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, one);
  }
  show() {
    const gl = this.gl, { width, height } = this.canvas;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.frame);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.blitFramebuffer(0, 0, ...this.size, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.LINEAR);
  }
  read() {  // the last picture, rows upward
    const gl = this.gl, pixels = new Uint8Array(4 * this.size[0] * this.size[1]);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.frame);
    gl.readPixels(0, 0, ...this.size, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    return { width: this.size[0], height: this.size[1], pixels };
  }
  release() { this.gl.getExtension("WEBGL_lose_context")?.loseContext(); }
}
