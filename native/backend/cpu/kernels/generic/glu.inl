/// Gated units (ops.def: glu): h = act(gate) ∘ up, and its gradient. The activations and their derivatives:
///   silu: z·σ(z), σ(1 + z(1 − σ))
///   gelu_tanh: ½z(1 + tanh u) = z·σ(2u), u = √(2/π)(z + 0.044715 z³); with σ = σ(2u): σ + 2zσ(1 − σ)·u'
///   relu: max(z, 0), [z > 0]
///   gelu: z·Φ(z), Φ(z) + z·φ(z); Φ(−|z|) = ½e^(−z²/2)·g(t), t = 1 / (1 + 0.4|z|/√2), g a polynomial fitted by least squares: within 7·2⁻²⁴

inline Vec sigmoid(Vec z) { return broadcast(1.0f) / (broadcast(1.0f) + exp(negate(z))); }

struct Silu {
  static Vec value(Vec z) { return z / (broadcast(1.0f) + exp(negate(z))); }
  static void both(Vec z, Vec& value, Vec& slope) {
    const Vec s = sigmoid(z);
    value = z * s;
    slope = fma(value, broadcast(1.0f) - s, s);
  }
};

struct GeluTanh {
  static constexpr float twice_root = 1.5957691216f, cube = 0.044715f;  // 2√(2/π)
  static Vec twice_u(Vec z) { return z * fma(z * z, broadcast(twice_root * cube), broadcast(twice_root)); }
  static Vec value(Vec z) { return z * sigmoid(twice_u(z)); }
  static void both(Vec z, Vec& value, Vec& slope) {
    const Vec s = sigmoid(twice_u(z));
    value = z * s;
    slope = fma(value * (broadcast(1.0f) - s), fma(z * z, broadcast(3 * twice_root * cube), broadcast(twice_root)), s);
  }
};

struct Relu {
  static Vec value(Vec z) { return maximum(broadcast(0.0f), z); }  // the second operand wins on NaN
  static void both(Vec z, Vec& value, Vec& slope) {
    value = maximum(broadcast(0.0f), z);
    slope = select(less(broadcast(0.0f), z), broadcast(1.0f), broadcast(0.0f));
  }
};

struct Gelu {
  /// Φ(z), and φ(z)·√(2π).
  static Vec cdf(Vec z, Vec& bell) {
    const Vec size = absolute(z) * broadcast(0.70710678119f), t = broadcast(1.0f) / fma(size, broadcast(0.4f), broadcast(1.0f));
    bell = exp(negate(size * size));
    Vec g = broadcast(0.042374309152f);
    g = fma(g, t, broadcast(-0.145004376769f));
    g = fma(g, t, broadcast(0.092084944248f));
    g = fma(g, t, broadcast(0.080515876412f));
    g = fma(g, t, broadcast(0.083641611040f));
    g = fma(g, t, broadcast(0.192279249430f));
    g = fma(g, t, broadcast(0.202033117414f));
    g = fma(g, t, broadcast(0.226442322135f));
    g = fma(g, t, broadcast(0.225633129478f));
    const Vec below = broadcast(0.5f) * bell * (g * t);
    return select(less(z, broadcast(0.0f)), below, broadcast(1.0f) - below);
  }
  static Vec value(Vec z) {
    Vec bell;
    return z * cdf(z, bell);
  }
  static void both(Vec z, Vec& value, Vec& slope) {
    Vec bell;
    const Vec p = cdf(z, bell);
    value = z * p;
    slope = fma(z * bell, broadcast(0.39894228040f), p);
  }
};

template <class A, class T>
static void activate_forward_as(int64_t count, const T* x, T* y) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store(y + i, A::value(load(x + i)));
  if (i < count) store_tail(y + i, A::value(load_tail(x + i, count - i)), count - i);
}

template <class A, class T>
static void activate_backward_as(int64_t count, const T* x, const T* d_y, T* d_x) {
  Vec value, slope;
  int64_t i = 0;
  for (; i + W <= count; i += W) {
    A::both(load(x + i), value, slope);
    store(d_x + i, load(d_y + i) * slope);
  }
  if (i < count) {
    A::both(load_tail(x + i, count - i), value, slope);
    store_tail(d_x + i, load_tail(d_y + i, count - i) * slope, count - i);
  }
}

template <class T>
static void activate_forward(Activate kind, int64_t count, const T* x, T* y) {
  if (kind == Activate::silu) activate_forward_as<Silu>(count, x, y);
  if (kind == Activate::gelu_tanh) activate_forward_as<GeluTanh>(count, x, y);
  if (kind == Activate::relu) activate_forward_as<Relu>(count, x, y);
  if (kind == Activate::gelu) activate_forward_as<Gelu>(count, x, y);
}

template <class T>
static void activate_backward(Activate kind, int64_t count, const T* x, const T* d_y, T* d_x) {
  if (kind == Activate::silu) activate_backward_as<Silu>(count, x, d_y, d_x);
  if (kind == Activate::gelu_tanh) activate_backward_as<GeluTanh>(count, x, d_y, d_x);
  if (kind == Activate::relu) activate_backward_as<Relu>(count, x, d_y, d_x);
  if (kind == Activate::gelu) activate_backward_as<Gelu>(count, x, d_y, d_x);
}

template <class A, class T>
static void glu_forward_as(int64_t count, const T* gate, const T* up, T* h) {
  int64_t i = 0;
  for (; i + W <= count; i += W) store(h + i, A::value(load(gate + i)) * load(up + i));
  if (i < count) store_tail(h + i, A::value(load_tail(gate + i, count - i)) * load_tail(up + i, count - i), count - i);
}

template <class A, class T>
static void glu_backward_as(int64_t count, const T* gate, const T* up, const T* d_h, T* d_gate, T* d_up, T* h) {
  Vec value, slope;
  int64_t i = 0;
  for (; i + W <= count; i += W) {
    const Vec u = load(up + i), d = load(d_h + i);
    A::both(load(gate + i), value, slope);
    store(d_gate + i, d * u * slope);
    store(d_up + i, d * value);
    if (h) store(h + i, value * u);
  }
  if (i < count) {
    const int64_t n = count - i;
    const Vec u = load_tail(up + i, n), d = load_tail(d_h + i, n);
    A::both(load_tail(gate + i, n), value, slope);
    store_tail(d_gate + i, d * u * slope, n);
    store_tail(d_up + i, d * value, n);
    if (h) store_tail(h + i, value * u, n);
  }
}

template <class T>
static void glu_forward(Activate kind, int64_t count, const T* gate, const T* up, T* h) {
  if (kind == Activate::silu) glu_forward_as<Silu>(count, gate, up, h);
  if (kind == Activate::gelu_tanh) glu_forward_as<GeluTanh>(count, gate, up, h);
  if (kind == Activate::relu) glu_forward_as<Relu>(count, gate, up, h);
  if (kind == Activate::gelu) glu_forward_as<Gelu>(count, gate, up, h);
}

template <class T>
static void glu_backward(Activate kind, int64_t count, const T* gate, const T* up, const T* d_h, T* d_gate, T* d_up, T* h) {
  if (kind == Activate::silu) glu_backward_as<Silu>(count, gate, up, d_h, d_gate, d_up, h);
  if (kind == Activate::gelu_tanh) glu_backward_as<GeluTanh>(count, gate, up, d_h, d_gate, d_up, h);
  if (kind == Activate::relu) glu_backward_as<Relu>(count, gate, up, d_h, d_gate, d_up, h);
  if (kind == Activate::gelu) glu_backward_as<Gelu>(count, gate, up, d_h, d_gate, d_up, h);
}

constexpr auto activate_forward_f32 = &activate_forward<float>;
constexpr auto activate_forward_bf16 = &activate_forward<bf16>;
constexpr auto activate_backward_f32 = &activate_backward<float>;
constexpr auto activate_backward_bf16 = &activate_backward<bf16>;
constexpr auto glu_forward_f32 = &glu_forward<float>;
constexpr auto glu_forward_bf16 = &glu_forward<bf16>;
constexpr auto glu_backward_f32 = &glu_backward<float>;
constexpr auto glu_backward_bf16 = &glu_backward<bf16>;
