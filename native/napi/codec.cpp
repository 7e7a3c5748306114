// Update codecs and the streaming aggregator.
#include <cstring>
#include <cmath>
#include <optional>

#include "aggregation/aggregator.h"
#include "compression/codec.h"
#include "napi/host.h"

namespace fedlora::seam {

namespace {

/// A sparse message of a few bytes may claim billions of zeros: this many values (1 GiB) are the most that one call gives.
constexpr int64_t decode_limit = 1 << 28;

struct Made {
  std::shared_ptr<Aggregator> aggregator;
  int threads;
};

/// The array that the caller gave to be written, or a new one.
Napi::Value array_into(Napi::Env env, Napi::Value given, int64_t length, const char* what) {
  if (given.IsUndefined() || given.IsNull()) return new_float32(env, static_cast<size_t>(length));
  const size_t size = TypedView<float>(given, "into").span().size();
  if (static_cast<int64_t>(size) != length)
    fail(Code::E_SHAPE, "%s: the array to write has %zu values, expected %lld", what, size, static_cast<long long>(length));
  return given;
}

/// A message or a vector with its weight, as JavaScript gave it; `view` runs no JavaScript.
class Given {
 public:
  Given(Napi::Value value, double weight) : weight_(weight) {
    const bool plain = value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float32_array;
    plain ? (void)vector_.emplace(value, "vector") : (void)message_.emplace(value, "message");
  }
  WeightedMessage view() const {
    return vector_ ? WeightedMessage{{}, weight_, vector_->span()} : WeightedMessage{message_->span(), weight_};
  }

 private:
  std::optional<TypedView<uint8_t>> message_;
  std::optional<TypedView<float>> vector_;
  double weight_;
};

class AggregatorObject : public Napi::ObjectWrap<AggregatorObject> {
 public:
  explicit AggregatorObject(const Napi::CallbackInfo& info) : ObjectWrap(info), memory_(info.Env()) {
    const Made made = constructed_with<Made>(info);
    aggregator_ = made.aggregator, threads_ = made.threads;
    info.This().As<Napi::Object>().TypeTag(&aggregator_tag);
    memory_.set(static_cast<size_t>(aggregator_->length()) * sizeof(int64_t));
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeAggregator",
                       {accessor<AggregatorObject, &AggregatorObject::length, aggregator_tag>("length"),
                        accessor<AggregatorObject, &AggregatorObject::count, aggregator_tag>("count"),
                        accessor<AggregatorObject, &AggregatorObject::total_weight, aggregator_tag>("totalWeight"),
                        InstanceMethod<&AggregatorObject::add>("add"), InstanceMethod<&AggregatorObject::add_all>("addAll"),
                        InstanceMethod<&AggregatorObject::mean>("mean"), InstanceMethod<&AggregatorObject::reset>("reset"),
                        InstanceMethod<&AggregatorObject::partial>("partial"), InstanceMethod<&AggregatorObject::merge>("merge"),
                        InstanceMethod<&AggregatorObject::dispose>("dispose")});
  }

 private:
  Aggregator& alive() const {
    if (!aggregator_) fail(Code::E_DISPOSED, "the aggregator was disposed");
    return *aggregator_;
  }
  Napi::Value length(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(alive().length())); });
  }
  Napi::Value count(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] { return Napi::Number::New(info.Env(), static_cast<double>(alive().count())); });
  }
  Napi::Value total_weight(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] { return Napi::Number::New(info.Env(), alive().total_weight()); });
  }
  ThreadPool* team(Napi::Env env, int64_t messages) { return Environment::of(env).team_for(alive().length() * messages, threads_); }
  void add(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      if (!info[1].IsNumber()) fail(Code::E_ARGUMENT, "add: expected a message or a vector, and a weight");
      const Given given(info[0], info[1].As<Napi::Number>().DoubleValue());
      const WeightedMessage message = given.view();
      alive().add({&message, 1}, team(info.Env(), 1));
    });
  }
  void add_all(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      if (!info[0].IsArray() || !info[1].IsArray() || info[0].As<Napi::Array>().Length() != info[1].As<Napi::Array>().Length())
        fail(Code::E_ARGUMENT, "addAll: expected messages and as many weights");
      const Napi::Array messages = info[0].As<Napi::Array>(), weights = info[1].As<Napi::Array>();
      const uint32_t count = messages.Length();
      std::vector<Given> given;
      for (uint32_t i = 0; i < count; ++i) {
        const Napi::Value weight = weights.Get(i);
        if (!weight.IsNumber()) fail(Code::E_ARGUMENT, "addAll: weight %u is not a number", i);
        given.emplace_back(messages.Get(i), weight.As<Napi::Number>().DoubleValue());
      }
      std::vector<WeightedMessage> views;
      for (const Given& one : given) views.push_back(one.view());
      alive().add(views, team(info.Env(), count));
    });
  }
  Napi::Value mean(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] {
      const Napi::Value values = array_into(info.Env(), info[0], alive().length(), "mean");
      alive().mean(TypedView<float>::elements(values, "mean"), team(info.Env(), 1));
      return values;
    });
  }
  void reset(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] { alive().reset(); });
  }
  Napi::Value partial(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&]() -> Napi::Value {
      const std::vector<uint8_t> bytes = alive().partial(team(info.Env(), 1));
      Napi::Uint8Array array = new_uint8(info.Env(), bytes.size());
      std::memcpy(array.Data(), bytes.data(), bytes.size());
      return array;
    });
  }
  void merge(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      const TypedView<uint8_t> bytes(info[0], "merge");
      alive().merge(bytes.span(), team(info.Env(), 1));
    });
  }
  void dispose(const Napi::CallbackInfo&) {
    aggregator_.reset();
    memory_.set(0);
  }

  std::shared_ptr<Aggregator> aggregator_;
  int threads_ = 0;
  ExternalMemory memory_;
};

Napi::Value create_aggregator(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    if (!info[0].IsNumber()) fail(Code::E_ARGUMENT, "createAggregator: expected a length");
    const double length = info[0].As<Napi::Number>().DoubleValue();
    if (!(length >= 0 && length <= 4294967295.0) || length != static_cast<double>(static_cast<int64_t>(length)))
      fail(Code::E_ARGUMENT, "createAggregator: the length is %g, expected a whole number from 0 to 4294967295", length);
    const int threads = threads_of(info[1], "createAggregator");
    return construct(env, Environment::of(env).aggregator, Made{std::make_shared<Aggregator>(static_cast<int64_t>(length)), threads});
  });
}

/// Rows, columns and density of each tensor.
std::vector<UpdateTensor> layout_of(const std::vector<double>& numbers) {
  if (numbers.size() % 3 != 0) fail(Code::E_ARGUMENT, "layout: %zu numbers, expected three a tensor", numbers.size());
  std::vector<UpdateTensor> layout;
  for (size_t i = 0; i < numbers.size(); i += 3) {
    for (size_t side = i; side < i + 2; ++side)
      if (!(numbers[side] >= 1 && numbers[side] <= 4294967295.0) || numbers[side] != std::floor(numbers[side]))
        fail(Code::E_SHAPE, "layout: tensor %zu has a side of %g", i / 3, numbers[side]);
    layout.push_back({static_cast<int64_t>(numbers[i]), static_cast<int64_t>(numbers[i + 1]), numbers[i + 2]});
  }
  return layout;
}

Napi::Value encode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const TypedView<float> update_view(info[0], "update");
    std::optional<TypedView<float>> residual_view;
    if (!info[1].IsNull() && !info[1].IsUndefined()) residual_view.emplace(info[1], "residual");
    const Fields f(info[2], "options");
    const char* names[codec_count];  // in the order of the enumeration
    for (int i = 0; i < codec_count; ++i) names[i] = codec_name(static_cast<Codec>(i));
    CodecOptions options;
    options.codec = static_cast<Codec>(f.choice("codec", names));
    options.density = f.number("density");
    options.bits = static_cast<int>(f.integer("bits", 2, 32));
    options.seed = static_cast<uint64_t>(f.integer("seed", 0, 9007199254740991));
    if (f.has("choiceSeed")) options.choice_seed = static_cast<uint64_t>(f.integer("choiceSeed", 0, 9007199254740991));
    options.unbiased = f.has("unbiased") && f.boolean("unbiased");
    if (f.has("runLog2")) options.run_log2 = static_cast<int>(f.integer("runLog2", 1, run_log2_most));
    if (f.has("rank")) options.rank = static_cast<int>(f.integer("rank", 1, lowrank_most));
    std::vector<UpdateTensor> layout;
    if (f.has("layout")) layout = layout_of(copy_float64(f.value("layout"), "layout"));
    options.layout = layout;
    const bool in_place = f.has("inPlace") && f.boolean("inPlace");
    const int threads = threads_of(f.value("threads"), "encodeUpdate");

    // Everything that may run JavaScript comes before the memory is looked at: large arrays are made by calling it.
    const int64_t count = static_cast<int64_t>(update_view.span().size()), known_bytes = message_bytes(options.codec, count);
    Napi::Uint8Array message;
    if (known_bytes >= 0) message = new_uint8(env, static_cast<size_t>(known_bytes));
    Napi::Value new_residual = env.Null();
    if (residual_view) new_residual = in_place ? info[1] : new_float32(env, static_cast<size_t>(count));

    Feedback input{update_view.span()};
    if (residual_view) {
      input.residual = residual_view->span();
      input.new_residual = TypedView<float>::elements(new_residual, "residual");
    }
    const auto place = [&](int64_t bytes) {
      if (known_bytes < 0) message = Napi::Uint8Array::New(env, static_cast<size_t>(bytes));
      const std::span<uint8_t> place = TypedView<uint8_t>::elements(message, "message");
      if (static_cast<int64_t>(place.size()) != bytes)
        fail(Code::E_INTERNAL, "a message of %zu bytes, expected %lld", place.size(), static_cast<long long>(bytes));
      return place.data();
    };
    encode_update(input, options, place, Environment::of(env).team_for(count, threads));
    Napi::Object object = Napi::Object::New(env);
    object.Set("bytes", message);
    object.Set("residual", new_residual);
    return object;
  });
}

Napi::Value decode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const TypedView<uint8_t> view(info[0], "bytes");
    const int threads = threads_of(info[1], "decodeUpdate");
    const int64_t count = read_header(view.span()).count;
    if (count > decode_limit)
      fail(Code::E_MEMORY, "the message claims %lld values; decodeUpdate gives at most %lld at once: add it to an aggregator instead",
           static_cast<long long>(count), static_cast<long long>(decode_limit));
    const Napi::Value values = array_into(env, info[2], count, "decodeUpdate");
    decode_update(view.span(), TypedView<float>::elements(values, "values"), Environment::of(env).team_for(count, threads));
    return values;
  });
}

}  // namespace

Napi::Function define_aggregator(Napi::Env env) { return AggregatorObject::define(env); }

void define_codec_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("encodeUpdate", Napi::Function::New(env, encode, "encodeUpdate"));
  exports.Set("decodeUpdate", Napi::Function::New(env, decode, "decodeUpdate"));
  exports.Set("createAggregator", Napi::Function::New(env, create_aggregator, "createAggregator"));
}

}  // namespace fedlora::seam
