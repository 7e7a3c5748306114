// Matrices that a file stores transposed: numbers of every width, what is not transposed, what is released, shapes that are no matrix's.
#include <cstring>
#include <memory>

#include "harness.h"
#include "io/transposed.h"
#include "memory_source.h"

using namespace fedlora;

namespace {

/// [K,N] with element (k, n) = 1000·k + n.
template <class T>
std::vector<T> counted(int64_t K, int64_t N) {
  std::vector<T> values;
  for (int64_t k = 0; k < K; ++k)
    for (int64_t n = 0; n < N; ++n) values.push_back(static_cast<T>(1000 * k + n));
  return values;
}

template <class T>
void check_transposed(DType dtype, int64_t K, int64_t N) {
  const std::vector<T> values = counted<T>(K, N);
  auto source = std::make_unique<MemorySource>();
  const MemorySource& memory = *source;
  source->add("w", dtype, {K, N}, values.data(), values.size() * sizeof(T));
  const TransposedTensors transposed(std::move(source), {"w"});
  CHECK(transposed.describe("w").shape == (std::vector<int64_t>{N, K}));
  const TensorView view = transposed.get("w");
  CHECK(view.shape == (std::vector<int64_t>{N, K}) && view.dtype == dtype && view.bytes == values.size() * sizeof(T));
  bool same = true;
  for (int64_t n = 0; n < N; ++n)
    for (int64_t k = 0; k < K; ++k) {
      T value;
      std::memcpy(&value, static_cast<const uint8_t*>(view.data) + static_cast<size_t>(n * K + k) * sizeof(T), sizeof(T));
      same = same && value == values[static_cast<size_t>(k * N + n)];
    }
  CHECK(same);
  CHECK(memory.released == std::vector<std::string>{"w"});  // the copy is made: the file's pages may go
  CHECK(transposed.get("w").data == view.data);
  transposed.release("w");
  CHECK(memory.released.size() == 2);
}
}  // namespace

CASE("matrices of numbers of two, four and eight bytes, over the edges of tiles") {
  for (const auto& [K, N] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {32, 32}, {33, 64}, {70, 31}}) {
    check_transposed<float>(DType::f32, K, N);
    check_transposed<uint16_t>(DType::bf16, K, N);
    check_transposed<double>(DType::f64, K, N);
  }
}

CASE("other tensors and what is no matrix stay as they are") {
  const std::vector<float> values = counted<float>(2, 3);
  auto source = std::make_unique<MemorySource>();
  const MemorySource& memory = *source;
  source->add("other", DType::f32, {2, 3}, values.data(), 24);
  source->add("vector", DType::f32, {6}, values.data(), 24);
  const TransposedTensors transposed(std::move(source), {"vector"});
  for (const char* name : {"other", "vector"}) {
    CHECK(transposed.get(name).data == memory.get(name).data);
    CHECK(transposed.get(name).shape == memory.get(name).shape && transposed.describe(name).shape == memory.get(name).shape);
  }
  CHECK(transposed.names() == memory.names() && transposed.has("other") && !transposed.has("w"));
}

TEST_MAIN()
