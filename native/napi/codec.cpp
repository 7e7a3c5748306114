// Update codecs and the streaming aggregator.
#include "aggregation/aggregator.h"
#include "compression/codec.h"
#include "compression/vector_math.h"
#include "napi/host.h"

namespace fedlora::seam {

namespace {

/// A sparse message of a few bytes may claim billions of zeros: this many values (1 GiB) are the most that one call gives.
constexpr int64_t decode_limit = 1 << 28;

class AggregatorObject : public Napi::ObjectWrap<AggregatorObject> {
 public:
  explicit AggregatorObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), aggregator_(constructed_with<std::shared_ptr<Aggregator>>(info)), memory_(info.Env()) {
    info.This().As<Napi::Object>().TypeTag(&aggregator_tag);
    memory_.set(static_cast<size_t>(aggregator_->length()) * sizeof(int64_t));
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeAggregator",
                       {accessor<AggregatorObject, &AggregatorObject::length, aggregator_tag>("length"),
                        accessor<AggregatorObject, &AggregatorObject::count, aggregator_tag>("count"),
                        accessor<AggregatorObject, &AggregatorObject::total_weight, aggregator_tag>("totalWeight"),
                        InstanceMethod<&AggregatorObject::add>("add"), InstanceMethod<&AggregatorObject::mean>("mean"),
                        InstanceMethod<&AggregatorObject::reset>("reset"), InstanceMethod<&AggregatorObject::dispose>("dispose")});
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
  void add(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      if (!info[1].IsNumber()) fail(Code::E_ARGUMENT, "add: expected a message and a weight");
      alive().add(copy_uint8(info[0], "message"), info[1].As<Napi::Number>().DoubleValue());
    });
  }
  Napi::Value mean(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] {
      Napi::Float32Array values = new_float32(info.Env(), static_cast<size_t>(alive().length()));
      alive().mean({values.Data(), values.ElementLength()});
      return values;
    });
  }
  void reset(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] { alive().reset(); });
  }
  void dispose(const Napi::CallbackInfo&) {
    aggregator_.reset();
    memory_.set(0);
  }

  std::shared_ptr<Aggregator> aggregator_;
  ExternalMemory memory_;
};

Napi::Value create_aggregator(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    if (!info[0].IsNumber()) fail(Code::E_ARGUMENT, "createAggregator: expected a length");
    const double length = info[0].As<Napi::Number>().DoubleValue();
    if (!(length >= 0 && length <= 4294967295.0) || length != static_cast<double>(static_cast<int64_t>(length)))
      fail(Code::E_ARGUMENT, "createAggregator: the length is %g, expected a whole number from 0 to 4294967295", length);
    return construct(env, Environment::of(env).aggregator, std::make_shared<Aggregator>(static_cast<int64_t>(length)));
  });
}

Napi::Value encode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const std::vector<float> update = copy_float32(info[0], "update");
    const bool feedback = !info[1].IsNull() && !info[1].IsUndefined();
    std::vector<float> residual = feedback ? copy_float32(info[1], "residual") : std::vector<float>();
    if (feedback && residual.size() != update.size())
      fail(Code::E_SHAPE, "the residual has %zu values, the update %zu", residual.size(), update.size());
    const Fields f(info[2], "options");
    constexpr const char* codecs[] = {"f32", "bf16", "int8", "int4", "topk"};
    constexpr Codec values[] = {Codec::f32, Codec::bf16, Codec::int8, Codec::int4, Codec::topk};
    CodecOptions options;
    options.codec = values[f.choice("codec", codecs)];
    options.density = f.number("density");
    options.bits = static_cast<int>(f.integer("bits", 2, 8));
    options.seed = static_cast<uint64_t>(f.integer("seed", 0, 9007199254740991));
    std::vector<uint8_t> bytes;
    encode_update(update, residual, options, bytes);
    Napi::Uint8Array message = Napi::Uint8Array::New(env, bytes.size());
    std::copy(bytes.begin(), bytes.end(), message.Data());
    Napi::Object object = Napi::Object::New(env);
    object.Set("bytes", message);
    object.Set("residual", feedback ? Napi::Value(new_float32(env, residual)) : env.Null());
    return object;
  });
}

Napi::Value decode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const std::vector<uint8_t> bytes = copy_uint8(info[0], "bytes");
    const int64_t count = read_header(bytes).count;
    if (count > decode_limit)
      fail(Code::E_MEMORY, "the message claims %lld values; decodeUpdate gives at most %lld at once: add it to an aggregator instead",
           static_cast<long long>(count), static_cast<long long>(decode_limit));
    std::vector<float> values(static_cast<size_t>(count));
    decode_update(bytes, values);
    return new_float32(env, values);
  });
}

Napi::Value cosine_of(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const std::vector<float> a = copy_float32(info[0], "a"), b = copy_float32(info[1], "b");
    if (a.size() != b.size()) fail(Code::E_SHAPE, "cosine of vectors of %zu and %zu values", a.size(), b.size());
    return Napi::Number::New(info.Env(), cosine(a, b));
  });
}

}  // namespace

Napi::Function define_aggregator(Napi::Env env) { return AggregatorObject::define(env); }

void define_codec_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("encodeUpdate", Napi::Function::New(env, encode, "encodeUpdate"));
  exports.Set("decodeUpdate", Napi::Function::New(env, decode, "decodeUpdate"));
  exports.Set("createAggregator", Napi::Function::New(env, create_aggregator, "createAggregator"));
  exports.Set("cosine", Napi::Function::New(env, cosine_of, "cosine"));
}

}  // namespace fedlora::seam
