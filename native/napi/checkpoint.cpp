// NativeCheckpoint and the functions that read and write whole files.
#include <cmath>

#include "io/bnb_checkpoint.h"
#include "io/matrix_reader.h"
#include "io/safetensors.h"
#include "io/safetensors_writer.h"
#include "model/residual.h"
#include "napi/host.h"
#include "napi/rewrite.h"
#include "quant/encode.h"
#include "io/plain_tensor.h"
#include "convert/merge.h"
#include "convert/quantize.h"

namespace fedlora::seam {

namespace {

constexpr int64_t size_max = 9007199254740991;

class CheckpointObject : public Napi::ObjectWrap<CheckpointObject> {
 public:
  explicit CheckpointObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), checkpoint_(constructed_with<std::shared_ptr<Checkpoint>>(info)) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeCheckpoint",
                       {InstanceMethod<&CheckpointObject::tensors>("tensors"), InstanceMethod<&CheckpointObject::metadata>("metadata"),
                        InstanceMethod<&CheckpointObject::read>("read"), InstanceMethod<&CheckpointObject::read_weight>("readWeight"),
                        InstanceMethod<&CheckpointObject::dispose>("dispose")});
  }

 private:
  const Checkpoint& alive() const {
    if (!checkpoint_) fail(Code::E_DISPOSED, "the checkpoint was disposed");
    return *checkpoint_;
  }

  Napi::Value tensors(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      Napi::Array list = Napi::Array::New(env);
      for (const std::string& name : alive().names()) {
        const TensorView view = alive().get(name);
        Napi::Object entry = Napi::Object::New(env);
        entry.Set("name", name);
        entry.Set("dtype", dtype_name(view.dtype));
        entry.Set("shape", encode_shape(env, view.shape));
        list.Set(list.Length(), entry);
      }
      return list;
    });
  }

  Napi::Value metadata(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      Napi::Object object = Napi::Object::New(env);
      for (size_t file = 0; file < alive().files(); ++file)
        for (const auto& [key, value] : alive().metadata(file)) object.Set(key, value);
      return object;
    });
  }

  Napi::Value read(const Napi::CallbackInfo& info) {
    return guard(info.Env(), [&] {
      if (!info[0].IsString()) fail(Code::E_ARGUMENT, "read: expected a tensor name");
      return new_float32(info.Env(), read_vector(alive(), info[0].As<Napi::String>().Utf8Value()));
    });
  }

  Napi::Value read_weight(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      if (!info[0].IsString()) fail(Code::E_ARGUMENT, "readWeight: expected a module name");
      ThreadPool pool(1);
      const Matrix matrix = read_matrix(alive(), info[0].As<Napi::String>().Utf8Value() + ".weight", std::nullopt, 0, false, pool);
      std::vector<float> values(static_cast<size_t>(matrix.elements()));
      decode(matrix, 0, matrix.elements(), values.data());
      Napi::Object object = Napi::Object::New(env);
      object.Set("shape", encode_shape(env, {matrix.N, matrix.K}));
      object.Set("data", new_float32(env, values));
      return object;
    });
  }

  void dispose(const Napi::CallbackInfo&) { checkpoint_.reset(); }

  std::shared_ptr<Checkpoint> checkpoint_;
};

Napi::Value open_checkpoint(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    if (!info[0].IsArray()) fail(Code::E_ARGUMENT, "openCheckpoint: expected an array of paths");
    std::vector<std::string> files;
    const Napi::Array array = info[0].As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value path = array.Get(i);
      if (!path.IsString()) fail(Code::E_ARGUMENT, "openCheckpoint: element %u is no path", i);
      files.push_back(path.As<Napi::String>().Utf8Value());
    }
    return construct(env, Environment::of(env).checkpoint, std::make_shared<Checkpoint>(files));
  });
}

void write_tensors(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    if (!info[0].IsString() || !info[1].IsArray() || !info[2].IsObject())
      fail(Code::E_ARGUMENT, "writeSafetensors: expected a path, an array of tensors and metadata");
    std::vector<NamedTensor> tensors;
    std::vector<std::vector<float>> data;
    const Napi::Array array = info[1].As<Napi::Array>();
    data.reserve(array.Length());
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Fields f(array.Get(i), "tensors[]");
      TensorSpec spec{f.text("name"), DType::f32, {}};
      const Napi::Array shape = f.array("shape");
      int64_t elements = 1;
      for (uint32_t j = 0; j < shape.Length(); ++j) {
        const Napi::Value extent = shape.Get(j);
        const double size = extent.IsNumber() ? extent.As<Napi::Number>().DoubleValue() : -1;
        if (!(size >= 0 && size <= static_cast<double>(size_max)) || size != std::floor(size))
          fail(Code::E_SHAPE, "extent %u of tensor %s is no whole number from 0 on", j, spec.name.c_str());
        spec.shape.push_back(static_cast<int64_t>(size));
        if (__builtin_mul_overflow(elements, spec.shape.back(), &elements))
          fail(Code::E_SHAPE, "tensor %s is too large", spec.name.c_str());
      }
      data.push_back(copy_float32(f.value("data"), "tensors[].data"));
      if (static_cast<int64_t>(data.back().size()) != elements)
        fail(Code::E_SHAPE, "tensor %s has %zu values, but its shape needs %lld", spec.name.c_str(), data.back().size(),
             static_cast<long long>(elements));
      tensors.push_back({std::move(spec), {}, data.back().data()});
    }
    Metadata metadata;
    const Napi::Object object = info[2].As<Napi::Object>();
    const Napi::Array keys = object.GetPropertyNames();
    for (uint32_t i = 0; i < keys.Length(); ++i) {
      const Napi::Value value = object.Get(keys.Get(i));
      if (!value.IsString()) fail(Code::E_ARGUMENT, "writeSafetensors: metadata holds what is no string");
      metadata.emplace_back(keys.Get(i).ToString().Utf8Value(), value.As<Napi::String>().Utf8Value());
    }
    sort_as_safetensors(tensors);
    write_safetensors(info[0].As<Napi::String>().Utf8Value(), tensors, metadata);
  });
}

Napi::Value quantize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const Fields f(info[0], "request");
    constexpr const char* formats[] = {"int8", "nf4", "fp4"};
    constexpr Format values[] = {Format::int8, Format::nf4, Format::fp4};
    QuantizeRequest request;
    request.files = f.texts("files");
    request.output = f.text("output");
    request.modules = f.texts("modules");
    if (f.has("description")) request.description = decode_description(f.value("description"));
    request.format = values[f.choice("quantization", formats)];
    request.double_quantization = f.boolean("doubleQuantization");
    request.block = static_cast<int>(f.integer("blockSize", 64, 128));
    request.threads = static_cast<int>(f.integer("threads", 1, 1024));
    return run_alone(env, [request = std::move(request)] { return quantize_checkpoint(request); }, "changed");
  });
}

Napi::Value merge(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const Fields f(info[0], "request");
    const std::shared_ptr<AdapterState> state = adapter_state(f.value("adapter"), nullptr);
    if (!state) fail(Code::E_ARGUMENT, "request.adapter: expected an adapter");
    std::shared_ptr<Engine> engine = state->host->alive();
    std::shared_ptr<Adapter> adapter = state->idle();
    std::vector<std::string> files = f.texts("files");
    std::string output = f.text("output");
    const PackedWeights packed = decode_packed(f);
    // A copy, the host's: the adapter may go on training while its merged weights are written.
    const std::shared_ptr<Adapter> copy = host_copy(*adapter);
    return run_alone(
        env,
        [engine, copy, packed, files = std::move(files), output = std::move(output)] {
          return merge_checkpoint(files, output, engine->description(), *copy, packed);
        },
        "merged");
  });
}

}  // namespace

Napi::Function define_checkpoint(Napi::Env env) { return CheckpointObject::define(env); }

void define_checkpoint_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("openCheckpoint", Napi::Function::New(env, open_checkpoint, "openCheckpoint"));
  exports.Set("writeSafetensors", Napi::Function::New(env, write_tensors, "writeSafetensors"));
  exports.Set("quantizeCheckpoint", Napi::Function::New(env, quantize, "quantizeCheckpoint"));
  exports.Set("mergeCheckpoint", Napi::Function::New(env, merge, "mergeCheckpoint"));
}

}  // namespace fedlora::seam
