#include "napi/seam.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

#include "base/large_block.h"

namespace fedlora::seam {

const napi_type_tag model_tag = {0x6665646c6f726101ULL, reinterpret_cast<uintptr_t>(&model_tag)};
const napi_type_tag adapter_tag = {0x6665646c6f726102ULL, reinterpret_cast<uintptr_t>(&adapter_tag)};
const napi_type_tag aggregator_tag = {0x6665646c6f726103ULL, reinterpret_cast<uintptr_t>(&aggregator_tag)};
const napi_type_tag session_tag = {0x6665646c6f726104ULL, reinterpret_cast<uintptr_t>(&session_tag)};
const napi_type_tag tokenizer_tag = {0x6665646c6f726105ULL, reinterpret_cast<uintptr_t>(&tokenizer_tag)};

Napi::Error to_js(Napi::Env env, const Error& error) {
  Napi::Error result = Napi::Error::New(env, error.what());
  result.Set("code", Napi::String::New(env, code_name(error.code())));
  return result;
}

Fields::Fields(Napi::Value value, const char* what) : what_(what) {
  if (!value.IsObject()) fail(Code::E_ARGUMENT, "%s: expected an object", what);
  object_ = value.As<Napi::Object>();
}

void Fields::wrong(const char* name, const char* expected) const {
  fail(Code::E_ARGUMENT, "%s.%s: expected %s", what_.c_str(), name, expected);
}

bool Fields::has(const char* name) const {
  const Napi::Value value = object_.Get(name);
  return !value.IsUndefined() && !value.IsNull();
}

Napi::Value Fields::value(const char* name) const { return object_.Get(name); }

double Fields::number(const char* name) const {
  const Napi::Value value = object_.Get(name);
  if (!value.IsNumber()) wrong(name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(number)) wrong(name, "a finite number");
  return number;
}

int64_t Fields::integer(const char* name, int64_t least, int64_t most) const {
  const double number = this->number(name);
  if (std::floor(number) != number || !(number >= static_cast<double>(least) && number <= static_cast<double>(most)))
    wrong(name, format_text("a whole number from %lld to %lld", static_cast<long long>(least), static_cast<long long>(most)).c_str());
  return static_cast<int64_t>(number);
}

bool Fields::boolean(const char* name) const {
  const Napi::Value value = object_.Get(name);
  if (!value.IsBoolean()) wrong(name, "true or false");
  return value.As<Napi::Boolean>().Value();
}

std::string Fields::text(const char* name) const {
  const Napi::Value value = object_.Get(name);
  if (!value.IsString()) wrong(name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

std::string Fields::text_or_empty(const char* name) const { return has(name) ? text(name) : std::string(); }

Napi::Array Fields::array(const char* name) const {
  const Napi::Value value = object_.Get(name);
  if (!value.IsArray()) wrong(name, "an array");
  return value.As<Napi::Array>();
}

std::vector<std::string> Fields::texts(const char* name) const {
  const Napi::Array array = this->array(name);
  std::vector<std::string> texts;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value value = array.Get(i);
    if (!value.IsString()) wrong(name, "an array of strings");
    texts.push_back(value.As<Napi::String>().Utf8Value());
  }
  return texts;
}

int Fields::choice(const char* name, std::span<const char* const> names) const {
  const std::string text = this->text(name);
  std::string known;
  for (size_t i = 0; i < names.size(); ++i) {
    if (text == names[i]) return static_cast<int>(i);
    known += (i ? ", " : "") + std::string(names[i]);
  }
  wrong(name, ("one of " + known + ", got '" + text + "'").c_str());
}

int threads_of(Napi::Value value, const char* what) {
  if (value.IsUndefined() || value.IsNull()) return 0;
  const double threads = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  if (!(threads >= 1 && threads <= 1024) || threads != static_cast<double>(static_cast<int>(threads)))
    fail(Code::E_ARGUMENT, "%s: threads is a whole number from 1 to 1024", what);
  return static_cast<int>(threads);
}

ThreadPool* Environment::team_for(int64_t elements, int threads) {
  constexpr int64_t least_elements = 1 << 17;
  static const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  threads = threads == 0 ? cores : std::min(threads, cores);
  if (threads == 1 || elements < least_elements) return nullptr;
  if (!team || team->threads() != threads) team = std::make_unique<ThreadPool>(threads);
  return team.get();
}

namespace {
template <class T>
constexpr napi_typedarray_type element_type = napi_uint8_array;
template <>
constexpr napi_typedarray_type element_type<int32_t> = napi_int32_array;
template <>
constexpr napi_typedarray_type element_type<float> = napi_float32_array;
template <>
constexpr napi_typedarray_type element_type<double> = napi_float64_array;
template <class T>
constexpr const char* array_name = "Uint8Array";
template <>
constexpr const char* array_name<int32_t> = "Int32Array";
template <>
constexpr const char* array_name<float> = "Float32Array";
template <>
constexpr const char* array_name<double> = "Float64Array";

template <class T>
std::vector<T> copy_typed(Napi::Value value, const char* what) {
  const TypedView<T> view(value, what);
  const std::span<T> values = view.span();
  return {values.begin(), values.end()};
}
}  // namespace

template <class T>
TypedView<T>::TypedView(Napi::Value value, const char* what) : value_(value), what_(what) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != element_type<T>)
    fail(Code::E_ARGUMENT, "%s: expected a %s", what, array_name<T>);
  napi_value buffer = nullptr;
  bool plain = false;
  if (napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, nullptr, &buffer, nullptr) != napi_ok ||
      napi_is_arraybuffer(value.Env(), buffer, &plain) != napi_ok || !plain)
    fail(Code::E_ARGUMENT, "%s: a %s over shared memory is not accepted: copy it first", what, array_name<T>);
  if (Napi::Object(value.Env(), buffer).Get("resizable").ToBoolean())
    fail(Code::E_ARGUMENT, "%s: a %s over a resizable buffer is not accepted: copy it first", what, array_name<T>);
}

template <class T>
std::span<T> TypedView<T>::elements(Napi::Value value, const char* what) {
  napi_value buffer = nullptr;
  size_t length = 0;
  void* data = nullptr;
  bool detached = true;
  if (napi_get_typedarray_info(value.Env(), value, nullptr, &length, &data, &buffer, nullptr) != napi_ok ||
      napi_is_detached_arraybuffer(value.Env(), buffer, &detached) != napi_ok || detached)
    fail(Code::E_ARGUMENT, "%s: the %s's buffer is detached", what, array_name<T>);
  return {static_cast<T*>(data), length};
}

template class TypedView<float>;
template class TypedView<double>;
template class TypedView<uint8_t>;

std::vector<int32_t> copy_int32(Napi::Value value, const char* what) { return copy_typed<int32_t>(value, what); }
std::vector<float> copy_float32(Napi::Value value, const char* what) { return copy_typed<float>(value, what); }
std::vector<double> copy_float64(Napi::Value value, const char* what) { return copy_typed<double>(value, what); }
std::vector<uint8_t> copy_uint8(Napi::Value value, const char* what) { return copy_typed<uint8_t>(value, what); }

namespace {
template <class Array>
Array new_array(Napi::Env env, size_t length, const char* name) {
  constexpr size_t small = 1 << 20;
  if (length <= small) return Array::New(env, length);
  try {
    Array array =
        env.Global().Get(name).As<Napi::Function>().New({Napi::Number::New(env, static_cast<double>(length))}).template As<Array>();
    if (!array.IsTypedArray() || array.ElementLength() != length) fail(Code::E_INTERNAL, "the global %s is not JavaScript's own", name);
    advise_huge_pages(array.Data(), array.ByteLength());
    return array;
  } catch (const Napi::Error&) {
    fail(Code::E_MEMORY, "a %s of %zu values does not fit into memory", name, length);
  }
}
}  // namespace

Napi::Float64Array new_float64(Napi::Env env, size_t length) { return new_array<Napi::Float64Array>(env, length, "Float64Array"); }
Napi::Float32Array new_float32(Napi::Env env, size_t length) { return new_array<Napi::Float32Array>(env, length, "Float32Array"); }
Napi::Uint8Array new_uint8(Napi::Env env, size_t length) { return new_array<Napi::Uint8Array>(env, length, "Uint8Array"); }

Napi::Float32Array new_float32(Napi::Env env, std::span<const float> values) {
  Napi::Float32Array array = new_float32(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size_bytes());
  return array;
}

}  // namespace fedlora::seam
