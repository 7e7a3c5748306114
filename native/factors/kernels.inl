// The bodies of FactorKernels. The including file defines, in its own namespace and target region: Vector, lanes, tile_rows,
// tile_vectors, load, store, broadcast, multiply, add, multiply_add(a, b, c) = a · b + c.

static void tile(int64_t depth, const double* a, const double* b, double factor, double* c, int64_t stride) {
  Vector sum[tile_rows][tile_vectors];
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < tile_vectors; ++v) sum[i][v] = broadcast(0);
  for (int64_t p = 0; p < depth; ++p, a += tile_rows, b += tile_vectors * lanes) {
    Vector right[tile_vectors];
#pragma GCC unroll 4
    for (int v = 0; v < tile_vectors; ++v) right[v] = load(b + v * lanes);
#pragma GCC unroll 8
    for (int i = 0; i < tile_rows; ++i) {
      const Vector left = broadcast(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < tile_vectors; ++v) sum[i][v] = multiply_add(left, right[v], sum[i][v]);
    }
  }
  const Vector scale = broadcast(factor);
#pragma GCC unroll 8
  for (int i = 0; i < tile_rows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < tile_vectors; ++v) {
      double* place = c + i * stride + v * lanes;
      store(place, multiply_add(scale, sum[i][v], load(place)));
    }
}

static double dot(const double* x, const double* y, int64_t count) {
  Vector sum[4] = {broadcast(0), broadcast(0), broadcast(0), broadcast(0)};
  int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes)
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v) sum[v] = multiply_add(load(x + i + v * lanes), load(y + i + v * lanes), sum[v]);
  double part[lanes], total = 0;
  store(part, add(add(sum[0], sum[1]), add(sum[2], sum[3])));
  for (int lane = 0; lane < lanes; ++lane) total += part[lane];
  for (; i < count; ++i) total += x[i] * y[i];
  return total;
}

static void add_scaled(double* y, const double* x, int64_t count, double factor) {
  const Vector scale = broadcast(factor);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) store(y + i, multiply_add(scale, load(x + i), load(y + i)));
  for (; i < count; ++i) y[i] += factor * x[i];
}

static void rotate(double* x, double* y, int64_t count, double c, double s) {
  const Vector cosine = broadcast(c), sine = broadcast(s), opposite = broadcast(-s);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const Vector first = load(x + i), second = load(y + i);
    store(x + i, multiply_add(opposite, second, multiply(cosine, first)));
    store(y + i, multiply_add(cosine, second, multiply(sine, first)));
  }
  for (; i < count; ++i) {
    const double first = x[i], second = y[i];
    x[i] = c * first - s * second;
    y[i] = s * first + c * second;
  }
}
