// Several long vectors beside one another: sums over their pairs, and order statistics, at once, where the arrays lie.
#include "vectors/order.h"

#include <cmath>
#include <optional>

#include "napi/host.h"
#include "vectors/finite.h"
#include "vectors/pairs.h"

namespace fedlora::seam {

namespace {

constexpr size_t most_vectors = 1 << 14;

/// A list of arrays of one type, not empty. `spans` runs no JavaScript.
template <class T>
class VectorList {
 public:
  explicit VectorList(Napi::Array array) {
    for (uint32_t i = 0; i < array.Length(); ++i) views_.emplace_back(array.Get(i), "vectors");
  }
  std::vector<std::span<const T>> spans() const {
    std::vector<std::span<const T>> spans;
    for (const TypedView<T>& view : views_) spans.push_back(view.span());
    return spans;
  }
  size_t size() const { return views_.size(); }

 private:
  std::vector<TypedView<T>> views_;
};

Napi::Array list(Napi::Value value) {
  if (!value.IsArray() || value.As<Napi::Array>().Length() == 0)
    fail(Code::E_ARGUMENT, "vectors: expected an array of at least one vector");
  const Napi::Array array = value.As<Napi::Array>();
  if (array.Length() > most_vectors)
    fail(Code::E_MEMORY, "vectors: %u of them are out of reach, at most %zu are not", array.Length(), most_vectors);
  return array;
}

size_t count_of(Napi::Value value, const char* what) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(number >= 0 && number <= most_vectors && std::floor(number) == number)) fail(Code::E_ARGUMENT, "%s is a whole number from 0", what);
  return static_cast<size_t>(number);
}

int64_t elements(size_t vectors, size_t length) { return static_cast<int64_t>(vectors * length); }

template <class T>
Napi::Value pairs(const Napi::CallbackInfo& info, const Napi::Array& array, bool distances) {
  const VectorList<T> vectors(array);
  const bool centred = !distances && !info[1].IsUndefined();
  std::optional<TypedView<T>> centre;
  if (centred) centre.emplace(info[1], "centre");
  Napi::Float64Array out = new_float64(info.Env(), vectors.size() * vectors.size());
  const auto spans = vectors.spans();
  const std::span<double> sums(out.Data(), out.ElementLength());
  ThreadPool* const team = Environment::of(info.Env()).team_for(elements(spans.size() * spans.size() / 2, spans[0].size()), 0);
  if (distances)
    squared_distances<T>(spans, sums, team);
  else
    products<T>(spans, centre ? centre->span() : std::span<const T>(), sums, team);
  return out;
}

Napi::Value pairs_of(const Napi::CallbackInfo& info, bool distances) {
  return guard(info.Env(), [&] {
    const Napi::Array array = list(info[0]);
    return is_float64(array.Get(0u)) ? pairs<double>(info, array, distances) : pairs<float>(info, array, distances);
  });
}

Napi::Value squared_distances_of(const Napi::CallbackInfo& info) { return pairs_of(info, true); }
Napi::Value products_of(const Napi::CallbackInfo& info) { return pairs_of(info, false); }

template <class T>
void order_statistic(const Napi::CallbackInfo& info, const Napi::Array& array, bool near) {
  const VectorList<T> vectors(array);
  const size_t first = count_of(info[1], near ? "keep" : "begin"), second = near ? 0 : count_of(info[2], "end");
  const TypedView<T> into(info[near ? 2 : 3], "into");
  const auto spans = vectors.spans();
  const std::span<T> out = into.span();
  for (const std::span<const T> vector : spans)
    if (vector.data() < out.data() + out.size() && out.data() < vector.data() + vector.size())
      fail(Code::E_ARGUMENT, "into shares memory with a vector; give it memory of its own");
  ThreadPool* const team = Environment::of(info.Env()).team_for(elements(spans.size(), out.size()), 0);
  if (near)
    mean_near_median<T>(spans, first, out, team);
  else
    mean_between<T>(spans, first, second, out, team);
}

void order_statistic_of(const Napi::CallbackInfo& info, bool near) {
  guard(info.Env(), [&] {
    const Napi::Array array = list(info[0]);
    is_float64(array.Get(0u)) ? order_statistic<double>(info, array, near) : order_statistic<float>(info, array, near);
  });
}

void mean_between_of(const Napi::CallbackInfo& info) { order_statistic_of(info, false); }
void mean_near_median_of(const Napi::CallbackInfo& info) { order_statistic_of(info, true); }

Napi::Value first_nonfinite_of(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const int64_t place = is_float64(info[0]) ? first_nonfinite<double>(TypedView<double>(info[0], "vector").span())
                                              : first_nonfinite<float>(TypedView<float>(info[0], "vector").span());
    return Napi::Number::New(info.Env(), static_cast<double>(place));
  });
}

}  // namespace

void define_order_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("squaredDistances", Napi::Function::New(env, squared_distances_of, "squaredDistances"));
  exports.Set("innerProducts", Napi::Function::New(env, products_of, "innerProducts"));
  exports.Set("meanBetween", Napi::Function::New(env, mean_between_of, "meanBetween"));
  exports.Set("meanNearMedian", Napi::Function::New(env, mean_near_median_of, "meanNearMedian"));
  exports.Set("firstNonfinite", Napi::Function::New(env, first_nonfinite_of, "firstNonfinite"));
}

}  // namespace fedlora::seam
