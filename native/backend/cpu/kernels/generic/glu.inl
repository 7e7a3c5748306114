/// Gated units (ops.def: glu): h = act(gate) ∘ up, and its gradient. The activations and their derivatives:
///   silu: z·σ(z), σ(1 + z(1 − σ))
///   gelu_tanh: ½z(1 + tanh u) = z·σ(2u), u = √(2/π)(z + 0.044715 z³); with σ = σ(2u): σ + 2zσ(1 − σ)·u'
///   relu: max(z, 0), [z > 0]

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
}

template <class T>
static void glu_backward(Activate kind, int64_t count, const T* gate, const T* up, const T* d_h, T* d_gate, T* d_up, T* h) {
  if (kind == Activate::silu) glu_backward_as<Silu>(count, gate, up, d_h, d_gate, d_up, h);
  if (kind == Activate::gelu_tanh) glu_backward_as<GeluTanh>(count, gate, up, d_h, d_gate, d_up, h);
  if (kind == Activate::relu) glu_backward_as<Relu>(count, gate, up, d_h, d_gate, d_up, h);
}

constexpr auto glu_forward_f32 = &glu_forward<float>;
constexpr auto glu_forward_bf16 = &glu_forward<bf16>;
constexpr auto glu_backward_f32 = &glu_backward<float>;
constexpr auto glu_backward_bf16 = &glu_backward<bf16>;
