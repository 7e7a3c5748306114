/// Updates of parameters (ops.def: gradient_terms, adamw, sgd, sum_of_squares), element by element; the optimisers in the order of
/// operations of torch.optim.

static void gradient_terms_block(float mu, int64_t count, const float* parameter, const float* anchor, const float* correction,
                                 float* gradient) {
  const Vec pull = broadcast(mu);
  for (int64_t i = 0; i < count; i += W) {
    const int64_t n = count - i < W ? count - i : W;
    const auto at = [&](const float* x) { return n == W ? load(x + i) : load_tail(x + i, n); };
    Vec g = at(gradient);
    if (anchor) g = g + pull * (at(parameter) - at(anchor));
    if (correction) g = g + at(correction);
    n == W ? store(gradient + i, g) : store_tail(gradient + i, g, n);
  }
}

/// The per-step numbers of AdamW, computed once in double.
static void adamw_block(const AdamWNumbers* numbers, int64_t count, float* parameter, float* gradient, float* moment1, float* moment2) {
  const Vec grad_scale = broadcast(numbers->grad_scale), keep = broadcast(numbers->keep), beta2 = broadcast(numbers->beta2);
  const Vec one_minus_beta1 = broadcast(numbers->one_minus_beta1), one_minus_beta2 = broadcast(numbers->one_minus_beta2);
  const Vec root_correction2 = broadcast(numbers->root_correction2), epsilon = broadcast(numbers->epsilon);
  const Vec negative_step = broadcast(-numbers->step_size);
  for (int64_t i = 0; i < count; i += W) {
    const int64_t n = count - i < W ? count - i : W;
    const bool whole = n == W;
    const Vec g = (whole ? load(gradient + i) : load_tail(gradient + i, n)) * grad_scale;
    const Vec m0 = whole ? load(moment1 + i) : load_tail(moment1 + i, n), v0 = whole ? load(moment2 + i) : load_tail(moment2 + i, n);
    const Vec p0 = whole ? load(parameter + i) : load_tail(parameter + i, n);
    const Vec m = m0 + one_minus_beta1 * (g - m0);
    const Vec v = v0 * beta2 + one_minus_beta2 * g * g;
    const Vec denominator = square_root(v) / root_correction2 + epsilon;
    const Vec p = p0 * keep + negative_step * (m / denominator);
    if (whole) {
      store(parameter + i, p), store(moment1 + i, m), store(moment2 + i, v), store(gradient + i, broadcast(0));
    } else {
      store_tail(parameter + i, p, n), store_tail(moment1 + i, m, n), store_tail(moment2 + i, v, n),
          store_tail(gradient + i, broadcast(0), n);
    }
  }
}

/// momentum_buffer null: no momentum.
static void sgd_block(float learning_rate, float momentum, float weight_decay, float grad_scale, bool first_step, int64_t count,
                      float* parameter, float* gradient, float* momentum_buffer) {
  const Vec mu = broadcast(momentum), decay = broadcast(weight_decay), scale = broadcast(grad_scale),
            negative_rate = broadcast(-learning_rate);
  for (int64_t i = 0; i < count; i += W) {
    const int64_t n = count - i < W ? count - i : W;
    const bool whole = n == W;
    const Vec p = whole ? load(parameter + i) : load_tail(parameter + i, n);
    Vec update = (whole ? load(gradient + i) : load_tail(gradient + i, n)) * scale + decay * p;
    if (momentum_buffer) {
      if (!first_step) update = (whole ? load(momentum_buffer + i) : load_tail(momentum_buffer + i, n)) * mu + update;
      whole ? store(momentum_buffer + i, update) : store_tail(momentum_buffer + i, update, n);
    }
    whole ? store(parameter + i, p + negative_rate * update) : store_tail(parameter + i, p + negative_rate * update, n);
    whole ? store(gradient + i, broadcast(0)) : store_tail(gradient + i, broadcast(0), n);
  }
}

/// Σ x² in double: 8 partial sums, added in order. The same bits on every instruction set.
static double sum_of_squares_block(const float* x, int64_t count) {
  double partial[8] = {};
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    for (int lane = 0; lane < 8; ++lane) partial[lane] += static_cast<double>(x[i + lane]) * static_cast<double>(x[i + lane]);
  for (; i < count; ++i) partial[i % 8] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (int lane = 0; lane < 8; ++lane) sum += partial[lane];
  return sum;
}
