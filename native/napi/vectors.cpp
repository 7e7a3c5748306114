// Operations on long vectors, at once, where the arrays lie.
#include <algorithm>
#include <cmath>
#include <optional>

#include "base/vector_math.h"
#include "napi/host.h"
#include "vectors/combine.h"
#include "vectors/noise.h"
#include "vectors/normals.h"
#include "vectors/server_step.h"

namespace fedlora::seam {

namespace {

/// Pairs of begin and end in a Float64Array; undefined: the whole vector.
std::vector<Range> ranges_of(Napi::Value value, int64_t length) {
  if (value.IsUndefined() || value.IsNull()) return {{0, length}};
  const std::vector<double> ends = copy_float64(value, "ranges");
  if (ends.size() % 2 != 0) fail(Code::E_ARGUMENT, "ranges: expected a begin and an end each");
  std::vector<Range> ranges;
  for (size_t i = 0; i < ends.size(); i += 2) {
    for (double end : {ends[i], ends[i + 1]})
      if (!(end >= 0 && end <= 9007199254740991.0 && std::floor(end) == end)) fail(Code::E_ARGUMENT, "ranges: %g is no index", end);
    ranges.push_back({static_cast<int64_t>(ends[i]), static_cast<int64_t>(ends[i + 1])});
  }
  check_ranges(ranges, length);
  return ranges;
}

template <class T>
void combine(const Napi::CallbackInfo& info) {
  if (!info[1].IsArray()) fail(Code::E_ARGUMENT, "linearCombination: expected an array of vectors");
  const Napi::Array array = info[1].As<Napi::Array>();
  const std::vector<double> coefficients = copy_float64(info[0], "coefficients");
  std::vector<TypedView<T>> views;
  for (uint32_t i = 0; i < array.Length(); ++i) views.emplace_back(array.Get(i), "vectors");
  const TypedView<T> into(info[2], "into");
  const double divisor = info[4].IsNumber() ? info[4].As<Napi::Number>().DoubleValue() : 1;
  const std::vector<Range> ranges = ranges_of(info[3], static_cast<int64_t>(into.span().size()));
  std::vector<std::span<const T>> vectors;
  for (const TypedView<T>& view : views) vectors.push_back(view.span());
  const int64_t work = static_cast<int64_t>(into.span().size() * vectors.size());
  linear_combination<T>({coefficients, vectors, divisor}, ranges, into.span(), Environment::of(info.Env()).team_for(work, 0));
}

void combine_any(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] { is_float64(info[2]) ? combine<double>(info) : combine<float>(info); });
}

Napi::Value dot_of(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const TypedView<float> first(info[0], "a"), second(info[1], "b");
    const size_t length = first.span().size();
    const std::vector<Range> ranges = ranges_of(info[2], static_cast<int64_t>(length));
    const std::span<const float> a = first.span(), b = second.span();
    if (a.size() != b.size()) fail(Code::E_SHAPE, "dot of vectors of %zu and %zu values", a.size(), b.size());
    double sum = 0;
    for (const auto& [begin, end] : ranges) {
      const size_t from = static_cast<size_t>(begin), count = static_cast<size_t>(end - begin);
      sum += dot(a.subspan(from, count), b.subspan(from, count), Environment::of(info.Env()).team_for(end - begin, 0));
    }
    return Napi::Number::New(info.Env(), sum);
  });
}

Napi::Value cosine_of(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const TypedView<float> first(info[0], "a"), second(info[1], "b");
    const std::span<const float> a = first.span(), b = second.span();
    if (a.size() != b.size()) fail(Code::E_SHAPE, "cosine of vectors of %zu and %zu values", a.size(), b.size());
    return Napi::Number::New(info.Env(), cosine(a, b, Environment::of(info.Env()).team_for(static_cast<int64_t>(a.size()), 0)));
  });
}

template <class T>
void step(const Napi::CallbackInfo& info, ServerRule rule, const StepSizes& sizes) {
  const TypedView<T> x(info[1], "vector"), mean(info[2], "mean"), moment1(info[3], "moment1");
  std::optional<TypedView<T>> moment2;
  if (moments_of(rule) == 2) moment2.emplace(info[4], "moment2");
  const std::span<T> values = x.span();
  const auto rest = moment2 ? moment2->span() : std::span<T>();
  server_step<T>(rule, values, mean.span(), moment1.span(), rest, sizes,
                 Environment::of(info.Env()).team_for(static_cast<int64_t>(values.size()), 0));
}

void step_any(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const Fields f(info[0], "rule");
    constexpr const char* names[] = {"momentum", "nesterov", "adam", "yogi", "adagrad"};
    const ServerRule rule = static_cast<ServerRule>(f.choice("name", names));
    const StepSizes sizes{f.number("rate"), f.number("beta1"), f.number("beta2"), f.number("epsilon")};
    is_float64(info[1]) ? step<double>(info, rule, sizes) : step<float>(info, rule, sizes);
  });
}

uint64_t whole(double number, const char* what) {
  if (!(number >= 0 && number <= 9007199254740991.0 && std::floor(number) == number))
    fail(Code::E_ARGUMENT, "addNormals: %s is %g, expected a whole number from 0 to 2^53 - 1", what, number);
  return static_cast<uint64_t>(number);
}

void add_normals_to(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const TypedView<float> values(info[0], "values");
    const NormalsCall call(info, 1, static_cast<int64_t>(values.span().size()));
    call.add_to(values.span());
  });
}

void add_noise_to(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const TypedView<float> values(info[0], "values");
    const ChaChaKey key = decode_noise_key(info[1], "key");
    if (!info[2].IsNumber()) fail(Code::E_ARGUMENT, "addNoise: expected a deviation");
    const std::span<float> span = values.span();
    // An element costs a stream cipher and four normals: a team pays early.
    ThreadPool* team = Environment::of(info.Env()).team_for(static_cast<int64_t>(8 * span.size()), 0);
    add_noise(span, {key, info[2].As<Napi::Number>().DoubleValue()}, 0, team);
  });
}

}  // namespace

NormalsCall::NormalsCall(const Napi::CallbackInfo& info, size_t first, int64_t length) : env_(info.Env()) {
  for (double seed : copy_float64(info[first], "seeds")) seeds_.push_back(whole(seed, "a seed"));
  scales_ = copy_float64(info[first + 1], "scales");
  if (!info[first + 2].IsNumber()) fail(Code::E_ARGUMENT, "addNormals: expected a stream");
  stream_ = whole(info[first + 2].As<Napi::Number>().DoubleValue(), "the stream");
  ranges_ = ranges_of(info[first + 3], length);
}

void NormalsCall::add_to(std::span<float> values) const {
  int64_t count = 0;
  for (const auto& [begin, end] : ranges_) count += end - begin;
  const int64_t work = count * static_cast<int64_t>(std::max<size_t>(seeds_.size(), 1));
  add_normals(values, {seeds_, scales_, stream_}, ranges_, Environment::of(env_).team_for(work, 0));
}

void define_vector_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("linearCombination", Napi::Function::New(env, combine_any, "linearCombination"));
  exports.Set("dot", Napi::Function::New(env, dot_of, "dot"));
  exports.Set("cosine", Napi::Function::New(env, cosine_of, "cosine"));
  exports.Set("addNormals", Napi::Function::New(env, add_normals_to, "addNormals"));
  exports.Set("addNoise", Napi::Function::New(env, add_noise_to, "addNoise"));
  exports.Set("serverStep", Napi::Function::New(env, step_any, "serverStep"));
}

}  // namespace fedlora::seam
