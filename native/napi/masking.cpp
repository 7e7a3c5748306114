// Masking for secure aggregation, at once, over arrays where they lie.
#include "masking/masks.h"
#include "masking/quantize.h"
#include "masking/shamir.h"
#include "napi/host.h"

namespace fedlora::seam {

namespace {

int word_bytes_of(Napi::Value value) {
  const double bytes = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  return bytes == 2 || bytes == 4 ? static_cast<int>(bytes) : 0;
}

void append_keys(std::vector<Mask>& masks, Napi::Value value, const char* what, bool negative) {
  const std::vector<uint8_t> keys = copy_uint8(value, what);
  if (keys.size() % 32 != 0) fail(Code::E_SHAPE, "addMasks: %s has %zu bytes, expected keys of 32", what, keys.size());
  for (size_t at = 0; at < keys.size(); at += 32) {
    Mask mask{{}, negative};
    std::copy_n(keys.begin() + static_cast<int64_t>(at), 32, mask.key.begin());
    masks.push_back(mask);
  }
}

void add_masks_to(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const TypedView<uint8_t> words(info[0], "words");
    std::vector<Mask> masks;
    append_keys(masks, info[2], "added", false);
    append_keys(masks, info[3], "subtracted", true);
    const int64_t work = static_cast<int64_t>(words.span().size() * masks.size());
    add_masks(words.span(), word_bytes_of(info[1]), masks, Environment::of(info.Env()).team_for(work, threads_of(info[4], "addMasks")));
  });
}

void add_words_to(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const TypedView<uint8_t> sums(info[0], "sums"), words(info[2], "words");
    add_words(sums.span(), words.span(), word_bytes_of(info[1]));
  });
}

Grid grid_of(const Fields& fields) { return {fields.number("clip"), static_cast<int>(fields.integer("bits", 1, 24))}; }

void quantize(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const TypedView<float> values(info[0], "values");
    const TypedView<uint8_t> words(info[1], "words");
    const Fields f(info[2], "options");
    constexpr int64_t most = 9007199254740991;
    const Draws draws{static_cast<uint64_t>(f.integer("seed", 0, most)), static_cast<uint64_t>(f.integer("stream", 0, most))};
    const uint64_t weight = static_cast<uint64_t>(f.integer("weight", 1, most));
    const Grid grid = grid_of(f);
    const int word_bytes = word_bytes_of(f.value("wordBytes"));
    ThreadPool* team = Environment::of(info.Env()).team_for(static_cast<int64_t>(values.span().size()), 0);
    quantize_weighted(values.span(), grid, weight, draws, word_bytes, words.span(), team);
  });
}

template <class T>
void dequantize(const Napi::CallbackInfo& info, const Grid& grid, double total, int word_bytes) {
  const TypedView<uint8_t> sums(info[0], "sums");
  const TypedView<T> mean(info[1], "mean");
  ThreadPool* team = Environment::of(info.Env()).team_for(static_cast<int64_t>(mean.span().size()), 0);
  dequantize_mean<T>(sums.span(), word_bytes, grid, total, mean.span(), team);
}

void dequantize_any(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    const Fields f(info[2], "options");
    const Grid grid = grid_of(f);
    const double total = f.number("total");
    const int word_bytes = word_bytes_of(f.value("wordBytes"));
    const bool wide = info[1].IsTypedArray() && info[1].As<Napi::TypedArray>().TypedArrayType() == napi_float64_array;
    (wide ? dequantize<double> : dequantize<float>)(info, grid, total, word_bytes);
  });
}

int place_of(Napi::Value value) {
  const double place = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (!(place >= 0 && place <= 255) || place != static_cast<double>(static_cast<int>(place)))
    fail(Code::E_ARGUMENT, "a share's place is a whole number from 0 to 255");
  return static_cast<int>(place);
}

Napi::Value bytes_to_js(Napi::Env env, const std::vector<uint8_t>& bytes) {
  Napi::Uint8Array array = new_uint8(env, bytes.size());
  std::copy(bytes.begin(), bytes.end(), array.Data());
  return array;
}

Napi::Value share(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const std::vector<uint8_t> secret = copy_uint8(info[0], "secret"), coefficients = copy_uint8(info[1], "coefficients");
    return bytes_to_js(info.Env(), shamir_share(secret, coefficients, place_of(info[2])));
  });
}

Napi::Value join(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const std::vector<uint8_t> places = copy_uint8(info[0], "places"), shares = copy_uint8(info[1], "shares");
    return bytes_to_js(info.Env(), shamir_join(places, shares, place_of(info[2])));
  });
}

}  // namespace

void define_masking_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("addMasks", Napi::Function::New(env, add_masks_to, "addMasks"));
  exports.Set("addWords", Napi::Function::New(env, add_words_to, "addWords"));
  exports.Set("quantizeWeighted", Napi::Function::New(env, quantize, "quantizeWeighted"));
  exports.Set("dequantizeMean", Napi::Function::New(env, dequantize_any, "dequantizeMean"));
  exports.Set("shamirShare", Napi::Function::New(env, share, "shamirShare"));
  exports.Set("shamirJoin", Napi::Function::New(env, join, "shamirJoin"));
}

}  // namespace fedlora::seam
