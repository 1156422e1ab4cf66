// The slow twins of ops/vision.ts and of the activations: plain loops, accumulating in f64.

/** y = (x − mean(x)) / sqrt(var(x) + eps) · scale + shift.   x: [T, C]   norm: [2C], scales, then shifts. */
export function layerNorm(
  x: Float32Array,
  norm: Float32Array,
  { T, C, eps }: { T: number; C: number; eps: number },
): Float32Array {
  const y = new Float32Array(T * C);
  for (let t = 0; t < T; t++) {
    const row = x.subarray(t * C, (t + 1) * C);
    const mean = row.reduce((sum, v) => sum + v, 0) / C;
    const variance = row.reduce((sum, v) => sum + (v - mean) ** 2, 0) / C;
    for (let c = 0; c < C; c++) {
      y[t * C + c] = ((row[c]! - mean) / Math.sqrt(variance + eps)) * norm[c]! + norm[C + c]!;
    }
  }
  return y;
}

/** y[t] = x[t] + Σ_i weights[t,i] · table[corners[t,i]].   x: [T, C] */
export function addPositions(
  x: Float32Array,
  table: Float32Array,
  { corners, weights }: { corners: Uint32Array; weights: Float32Array },
  { T, C }: { T: number; C: number },
): Float32Array {
  const y = Float32Array.from(x);
  for (let t = 0; t < T; t++) {
    for (let c = 0; c < C; c++) {
      let learned = 0;
      for (let i = 0; i < 4; i++) learned += weights[4 * t + i]! * table[corners[4 * t + i]! * C + c]!;
      y[t * C + c] = x[t * C + c]! + learned;
    }
  }
  return y;
}

export interface VisionShape {
  T: number;
  heads: number;
  headDim: number;
}

/** Turns queries and keys of qkv [T, 3·Nh·D].   places: [T, 2] (row, column)   table: [places, D/4, 2] (cos, sin) */
export function visionRope(
  qkv: Float32Array,
  { T, heads, headDim: D }: VisionShape,
  { places, table }: { places: Uint32Array; table: Float32Array },
): Float32Array {
  const y = Float32Array.from(qkv);
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < 2 * heads; h++) {
      const at = t * 3 * heads * D + h * D;
      for (let i = 0; i < D / 2; i++) {
        const axis = i < D / 4 ? 0 : 1;
        const entry = 2 * (places[2 * t + axis]! * (D / 4) + (i % (D / 4)));
        const [cos, sin] = [table[entry]!, table[entry + 1]!];
        const [a, b] = [qkv[at + i]!, qkv[at + i + D / 2]!];
        y[at + i] = a * cos - b * sin;
        y[at + i + D / 2] = b * cos + a * sin;
      }
    }
  }
  return y;
}

/** y[t,h] = Σ_k softmax_k(q[t,h] · k[k,h] · D^-½) · v[k,h] over all T patches.   → [T, Nh·D] */
export function visionAttention(qkv: Float32Array, { T, heads, headDim: D }: VisionShape): Float32Array {
  const y = new Float32Array(T * heads * D);
  const at = (t: number, which: number, h: number) => (t * 3 + which) * heads * D + h * D;
  for (let h = 0; h < heads; h++) {
    for (let t = 0; t < T; t++) {
      const scores = Array.from({ length: T }, (_, k) => {
        let dot = 0;
        for (let i = 0; i < D; i++) dot += qkv[at(t, 0, h) + i]! * qkv[at(k, 1, h) + i]!;
        return dot / Math.sqrt(D);
      });
      const top = Math.max(...scores);
      const weights = scores.map((score) => Math.exp(score - top));
      const sum = weights.reduce((total, w) => total + w, 0);
      for (let i = 0; i < D; i++) {
        let value = 0;
        for (let k = 0; k < T; k++) value += weights[k]! * qkv[at(k, 2, h) + i]!;
        y[(t * heads + h) * D + i] = value / sum;
      }
    }
  }
  return y;
}

/** x[t] = pictures[t] where chosen[t].   x, pictures: [T, C] */
export function placePictures(
  x: Float32Array,
  pictures: Float32Array,
  chosen: Uint32Array,
  { C }: { C: number },
): Float32Array {
  return x.map((value, i) => (chosen[Math.floor(i / C)] ? pictures[i]! : value));
}

/** ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))) */
export function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/** ½ x (1 + erf(x / √2)), erf by its series, which converges for every x; beyond 6 nothing is left to sum. */
export function geluErf(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

function erf(z: number): number {
  if (Math.abs(z) > 6) return Math.sign(z);
  let term = z;
  let sum = z;
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= (2 * z * z) / (2 * n + 1); // erf z = 2/√π · e^(−z²) · Σ 2ⁿ z^(2n+1) / (2n+1)!!
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-z * z) * sum;
}
