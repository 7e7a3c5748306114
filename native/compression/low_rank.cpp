#include "compression/low_rank.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "base/half.h"
#include "base/philox.h"

namespace fedlora {

namespace {
constexpr int iterations = 2;

float rounded(double value) {
  constexpr double largest = 0x1.fep127;  // of bf16
  return to_f32(to_bf16(static_cast<float>(std::clamp(value, -largest, largest))));
}

/// Q [rank][columns], uniform in [−1, 1).
std::vector<float> start(const LowRankTensor& tensor, uint64_t seed, uint64_t draw) {
  const Philox random{seed, draw};
  std::vector<float> q(size_t{tensor.rank} * tensor.columns);
  for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<float>(static_cast<int32_t>(random(i / 4)[i % 4])) * 0x1p-31f;
  return q;
}

/// P [rank][rows] of M·Q, its rows (the columns of P) orthonormal or zero.
std::vector<double> orthonormal(std::vector<double> p, size_t rank, size_t rows) {
  const auto dot = [rows](const double* a, const double* b) {
    double sum = 0;
    for (size_t i = 0; i < rows; ++i) sum += a[i] * b[i];
    return sum;
  };
  for (size_t r = 0; r < rank; ++r) {
    double* const column = p.data() + r * rows;
    const double before = dot(column, column);
    for (size_t s = 0; s < r; ++s) {
      const double* const other = p.data() + s * rows;
      const double share = dot(column, other);
      for (size_t i = 0; i < rows; ++i) column[i] -= share * other[i];
    }
    const double left = dot(column, column);
    // What lies in the span of those before it is rounding.
    const double factor = left > 1e-24 * before && left > 0 ? 1 / std::sqrt(left) : 0;
    for (size_t i = 0; i < rows; ++i) column[i] *= factor;
  }
  return p;
}
}  // namespace

uint32_t rank_of(int64_t rows, int64_t columns, int rank) {
  const int64_t most = std::min<int64_t>({rank, rows, columns});
  return most * (rows + columns) < rows * columns ? static_cast<uint32_t>(most) : 0;
}

void LowRankFactors::product(int64_t first, int64_t count, float* values, const CodecKernels& kernels) const {
  if (tensor.rank == 0) {
    whole ? kernels.decode_bf16(whole + 2 * first, count, values) : static_cast<void>(std::copy_n(p.data() + first, count, values));
    return;
  }
  const int64_t columns = tensor.columns, rank = tensor.rank;
  for (const int64_t end = first + count; first < end;) {
    const int64_t row = first / columns, column = first % columns, length = std::min(columns - column, end - first);
    kernels.low_rank_row(p.data() + row * rank, q.data() + column, rank, columns, length, values);
    first += length, values += length;
  }
}

LowRankFactors factorize(std::span<const float> target, LowRankTensor tensor, uint64_t seed, uint64_t draw, const CodecKernels& kernels) {
  const size_t rows = tensor.rows, columns = tensor.columns, rank = tensor.rank;
  LowRankFactors factors{tensor, {}, {}};
  if (rank > 0) {
    factors.q = start(tensor, seed, draw);
    std::vector<double> p(rank * rows), sums(rank * columns);
    for (int i = 0; i < iterations; ++i) {
      for (size_t row = 0; row < rows; ++row)
        for (size_t r = 0; r < rank; ++r)
          p[r * rows + row] = kernels.dot(target.data() + row * columns, factors.q.data() + r * columns, static_cast<int64_t>(columns));
      p = orthonormal(std::move(p), rank, rows);
      std::fill(sums.begin(), sums.end(), 0.0);
      for (size_t row = 0; row < rows; ++row)
        for (size_t r = 0; r < rank; ++r)
          kernels.add_scaled(p[r * rows + row], target.data() + row * columns, static_cast<int64_t>(columns), sums.data() + r * columns);
      // Scaled to the largest, so that the squares of the next round stay in range; the last round's are what is sent.
      double largest = 0;
      for (double sum : sums) largest = std::max(largest, std::fabs(sum));
      const double scale = i + 1 < iterations && largest > 0 ? 1 / largest : 1;
      for (size_t k = 0; k < sums.size(); ++k) factors.q[k] = scale == 1 ? rounded(sums[k]) : static_cast<float>(sums[k] * scale);
    }
    factors.p.resize(rows * rank);
    for (size_t row = 0; row < rows; ++row)
      for (size_t r = 0; r < rank; ++r) factors.p[row * rank + r] = rounded(p[r * rows + row]);
    std::vector<float> sent(columns);
    bool finite = true;
    for (size_t row = 0; row < rows && finite; ++row) {
      factors.product(static_cast<int64_t>(row * columns), static_cast<int64_t>(columns), sent.data(), kernels);
      for (size_t j = 0; j < columns; ++j) finite = finite && std::isfinite(target[row * columns + j] - sent[j]);
    }
    if (finite) return factors;
  }
  factors.tensor.rank = 0;
  factors.q.clear();
  factors.p.assign(target.begin(), target.end());
  for (float& value : factors.p) value = rounded(value);
  return factors;
}

void write_factors(const LowRankFactors& factors, uint8_t* numbers) {
  const auto put = [&](float value) {
    const uint16_t bits = to_bf16(value).bits;
    std::memcpy(numbers, &bits, 2);
    numbers += 2;
  };
  for (float value : factors.p) put(value);
  const size_t columns = factors.tensor.columns, rank = factors.tensor.rank;
  for (size_t j = 0; j < columns && rank > 0; ++j)
    for (size_t r = 0; r < rank; ++r) put(factors.q[r * columns + j]);
}

LowRankReader::LowRankReader(const UpdateHeader& header, const uint8_t* body, const CodecKernels& kernels) {
  uint32_t count;
  std::memcpy(&count, body, 4);
  const int64_t table = low_rank_prefix_bytes(count);
  if (header.body_bytes < table)
    fail(Code::E_FORMAT, "encoded update: a table of %u tensors in a body of %lld bytes", count, static_cast<long long>(header.body_bytes));
  std::vector<LowRankTensor> all(count);
  if (count > 0) std::memcpy(all.data(), body + low_rank_prefix_bytes(0), all.size() * sizeof(LowRankTensor));
  int64_t elements = 0, numbers = 0;
  for (const LowRankTensor& tensor : all) {
    if (tensor.rows == 0 || tensor.columns == 0 || tensor.rows > header.count / tensor.columns ||
        tensor.rank > std::min(tensor.rows, tensor.columns))
      fail(Code::E_FORMAT, "encoded update: a tensor of %u rows, %u columns and rank %u in an update of %lld elements", tensor.rows,
           tensor.columns, tensor.rank, static_cast<long long>(header.count));
    elements += tensor.elements(), numbers += tensor.numbers();
    if (elements > header.count) break;
  }
  if (elements != header.count || header.body_bytes != table + 2 * numbers)
    fail(Code::E_FORMAT, "encoded update: tensors of %lld elements and %lld numbers, expected %lld elements in a body of %lld bytes",
         static_cast<long long>(elements), static_cast<long long>(numbers), static_cast<long long>(header.count),
         static_cast<long long>(header.body_bytes));
  const uint8_t* at = body + table;
  int64_t begin = 0;
  for (const LowRankTensor& tensor : all) {
    const size_t columns = tensor.columns, rank = tensor.rank;
    LowRankFactors factors{tensor, std::vector<float>(tensor.rows * rank), std::vector<float>(columns * rank), at};
    kernels.decode_bf16(at, static_cast<int64_t>(factors.p.size()), factors.p.data());
    at += 2 * factors.p.size();
    std::vector<float> by_column(columns * rank);
    kernels.decode_bf16(at, static_cast<int64_t>(by_column.size()), by_column.data());
    at += 2 * by_column.size();
    for (size_t j = 0; j < columns; ++j)
      for (size_t r = 0; r < rank; ++r) factors.q[r * columns + j] = by_column[j * rank + r];
    if (rank == 0) at += 2 * tensor.elements();
    begins_.push_back(begin);
    begin += tensor.elements();
    tensors_.push_back(std::move(factors));
  }
}

void LowRankReader::decode(int64_t first, int64_t count, float* values, const CodecKernels& kernels) const {
  size_t tensor = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), first) - begins_.begin()) - 1;
  for (const int64_t end = first + count; first < end; ++tensor) {
    const LowRankFactors& factors = tensors_[tensor];
    const int64_t within = first - begins_[tensor], length = std::min(factors.tensor.elements() - within, end - first);
    factors.product(within, length, values, kernels);
    first += length, values += length;
  }
}

}  // namespace fedlora
