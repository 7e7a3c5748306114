// GGUF files: metadata and tensor lists read at once, whole files written by a job.
#include <cmath>
#include <cstring>

#include "convert/gguf_export.h"
#include "io/gguf.h"
#include "io/plain_tensor.h"
#include "model/residual.h"
#include "napi/host.h"
#include "napi/rewrite.h"

namespace fedlora::seam {

namespace {

Napi::Value encode_one(Napi::Env env, const GgufValue& value, double number) {
  if (value.type == GgufType::boolean) return Napi::Boolean::New(env, number != 0);
  return Napi::Number::New(env, number);
}

Napi::Value encode_value(Napi::Env env, const GgufValue& value) {
  const auto text = [&](std::string_view view) { return Napi::String::New(env, view.data(), view.size()); };
  const std::vector<std::string_view> strings = value.strings();
  const std::vector<double> numbers = value.numbers();
  if (!value.is_list) return value.type == GgufType::string ? Napi::Value(text(strings[0])) : encode_one(env, value, numbers[0]);
  Napi::Array list = Napi::Array::New(env, value.count);
  for (uint32_t i = 0; i < value.count; ++i) {
    const Napi::HandleScope scope(env);
    list.Set(i, value.type == GgufType::string ? Napi::Value(text(strings[i])) : encode_one(env, value, numbers[i]));
  }
  return list;
}

/// readGguf(path, lists): { fields: [{ name, type, list, value }], tensors: [{ name, type, shape }] }. Without `lists`, lists of more than
/// 4,096 elements come without a value: a vocabulary has hundreds of thousands. So do, always, lists and texts that no model has.
Napi::Value read_gguf(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    if (!info[0].IsString() || !info[1].IsBoolean()) fail(Code::E_ARGUMENT, "readGguf: expected a path and whether long lists are wanted");
    constexpr uint64_t short_list = 4096, longest = 1u << 22, most_letters = 1u << 28;
    const bool lists = info[1].As<Napi::Boolean>();
    const GgufFile file(info[0].As<Napi::String>().Utf8Value());
    Napi::Array fields = Napi::Array::New(env), tensors = Napi::Array::New(env);
    for (const GgufKey& key : file.header.keys) {
      Napi::Object field = Napi::Object::New(env);
      field.Set("name", key.name);
      field.Set("type", gguf_type_name(key.value.type));
      field.Set("list", key.value.is_list);
      if (key.value.count <= (lists ? longest : short_list) && key.value.bytes.size() <= most_letters)
        field.Set("value", encode_value(env, key.value));
      fields.Set(fields.Length(), field);
    }
    for (const GgufTensor& tensor : file.header.tensors) {
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("name", tensor.name);
      entry.Set("type", tensor.type->name);
      entry.Set("shape", encode_shape(env, tensor.shape));
      tensors.Set(tensors.Length(), entry);
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("fields", fields);
    result.Set("tensors", tensors);
    return result;
  });
}

/// readGgufVector(files, name): a small plain tensor as float32.
Napi::Value read_vector_of(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&]() -> Napi::Value {
    const Fields f(info[0], "request");
    const GgufTensors file(f.texts("files"));
    return new_float32(info.Env(), read_vector(file, f.text("name")));
  });
}

/// One element in the file's encoding.
std::string encode_element(GgufType type, const Napi::Value& value, const std::string& name) {
  const auto wrong = [&]() { fail(Code::E_ARGUMENT, "the key %s: expected %s.", name.c_str(), gguf_type_name(type)); };
  if (type == GgufType::string) {
    if (!value.IsString()) wrong();
    return gguf_string(value.As<Napi::String>().Utf8Value());
  }
  if (type == GgufType::boolean) {
    if (!value.IsBoolean()) wrong();
    return std::string(1, value.As<Napi::Boolean>() ? '\1' : '\0');
  }
  if (!value.IsNumber()) wrong();
  const double number = value.As<Napi::Number>().DoubleValue();
  const auto raw = [](auto bits) { return std::string(reinterpret_cast<const char*>(&bits), sizeof bits); };
  const auto whole = [&](double least, double most) {
    if (!(number >= least && number <= most) || number != std::trunc(number)) wrong();
    return static_cast<int64_t>(number);
  };
  switch (type) {
    case GgufType::u8:
      return raw(static_cast<uint8_t>(whole(0, 255)));
    case GgufType::u16:
      return raw(static_cast<uint16_t>(whole(0, 65535)));
    case GgufType::u32:
      return raw(static_cast<uint32_t>(whole(0, 4294967295.0)));
    case GgufType::i32:
      return raw(static_cast<int32_t>(whole(-2147483648.0, 2147483647.0)));
    case GgufType::u64:
      return raw(static_cast<uint64_t>(whole(0, 0x1p53)));
    case GgufType::f32:
      return raw(static_cast<float>(number));
    default:
      fail(Code::E_ARGUMENT, "the key %s: %s is not written.", name.c_str(), gguf_type_name(type));
  }
}

std::vector<GgufField> decode_fields(const Napi::Array& array) {
  std::vector<GgufField> fields;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Fields f(array.Get(i), "fields[]");
    GgufField field{f.text("name"), static_cast<GgufType>(f.choice("type", gguf_type_names)), f.boolean("list"), 1, {}};
    if (field.is_list) {
      const Napi::Array elements = f.array("value");
      field.count = elements.Length();
      for (uint32_t j = 0; j < elements.Length(); ++j) {
        const Napi::HandleScope scope(array.Env());
        field.bytes += encode_element(field.type, elements.Get(j), field.name);
      }
    } else {
      field.bytes = encode_element(field.type, f.value("value"), field.name);
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

std::vector<GgufPart> decode_parts(const Napi::Array& array) {
  std::vector<GgufPart> parts;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Fields f(array.Get(i), "parts[]");
    GgufPart part;
    part.name = f.text("name");
    part.from = f.text_or_empty("from");
    if (f.has("swap")) part.swap = decode_row_swap(f.value("swap"));
    if (f.has("add")) part.add = static_cast<float>(f.number("add"));
    if (part.from.empty()) part.numbers = copy_float32(f.value("numbers"), "parts[].numbers");
    parts.push_back(std::move(part));
  }
  return parts;
}

DType decode_type(const Fields& f) {
  constexpr const char* names[] = {"f32", "f16", "bf16", "q8_0", "q4_0"};
  constexpr DType types[] = {DType::f32, DType::f16, DType::bf16, DType::q8_0, DType::q4_0};
  return types[f.choice("type", names)];
}

/// exportGguf({ files, output, type, fields, keepFields, parts, description, adapter }): `adapter` null, the model alone.
Napi::Value export_model(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    const Fields f(info[0], "request");
    GgufExport request;
    request.files = f.texts("files");
    request.stored = decode_stored(f);
    request.packed = decode_packed(f);
    request.output = f.text("output");
    request.type = decode_type(f);
    request.fields = decode_fields(f.array("fields"));
    request.keep_fields = f.boolean("keepFields");
    request.parts = decode_parts(f.array("parts"));
    Description description = checked(decode_description(f.value("description")));
    std::shared_ptr<Adapter> copy;
    if (f.has("adapter")) {
      const std::shared_ptr<AdapterState> state = adapter_state(f.value("adapter"), nullptr);
      if (!state) fail(Code::E_ARGUMENT, "request.adapter: expected an adapter");
      copy = host_copy(*state->idle());
    }
    return run_alone(
        env,
        [request = std::move(request), description = std::move(description), copy] {
          return export_gguf(request, description, copy.get());
        },
        "merged");
  });
}

/// writeGguf(path, fields, tensors): tensors of float32 numbers, [{ name, shape, data }].
void write_gguf(const Napi::CallbackInfo& info) {
  guard(info.Env(), [&] {
    if (!info[0].IsString() || !info[1].IsArray() || !info[2].IsArray())
      fail(Code::E_ARGUMENT, "writeGguf: expected a path, an array of fields and an array of tensors");
    const std::vector<GgufField> fields = decode_fields(info[1].As<Napi::Array>());
    const Napi::Array array = info[2].As<Napi::Array>();
    std::vector<TensorSpec> specs;
    std::vector<std::vector<float>> data;
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Fields f(array.Get(i), "tensors[]");
      TensorSpec spec{f.text("name"), DType::f32, {}};
      const Napi::Array shape = f.array("shape");
      size_t elements = 1;
      for (uint32_t j = 0; j < shape.Length(); ++j) {
        const Napi::Value extent = shape.Get(j);
        const double size = extent.IsNumber() ? extent.As<Napi::Number>().DoubleValue() : 0;
        if (!(size >= 1 && size <= 0x1p31) || size != std::floor(size))
          fail(Code::E_SHAPE, "extent %u of tensor %s is no whole number from 1 on", j, spec.name.c_str());
        spec.shape.push_back(static_cast<int64_t>(size));
        if (__builtin_mul_overflow(elements, static_cast<size_t>(size), &elements))
          fail(Code::E_SHAPE, "tensor %s is too large", spec.name.c_str());
      }
      data.push_back(copy_float32(f.value("data"), "tensors[].data"));
      if (data.back().size() != elements)
        fail(Code::E_SHAPE, "tensor %s has %zu values, but its shape needs %zu", spec.name.c_str(), data.back().size(), elements);
      specs.push_back(std::move(spec));
    }
    GgufWriter writer(info[0].As<Napi::String>().Utf8Value(), fields, std::move(specs));
    for (const std::vector<float>& numbers : data) writer.write(numbers.data(), numbers.size() * sizeof(float));
    writer.finish();
  });
}

}  // namespace

void define_gguf_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("readGguf", Napi::Function::New(env, read_gguf, "readGguf"));
  exports.Set("readGgufVector", Napi::Function::New(env, read_vector_of, "readGgufVector"));
  exports.Set("exportGguf", Napi::Function::New(env, export_model, "exportGguf"));
  exports.Set("writeGguf", Napi::Function::New(env, write_gguf, "writeGguf"));
}

}  // namespace fedlora::seam
