#include "io/packed_checkpoint.h"

#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "io/plain_tensor.h"

namespace fedlora {

namespace {

using Parts = std::unordered_map<std::string, std::vector<std::string>>;

constexpr int64_t word_codes = 8;  // of four bits
constexpr std::array<int, 8> awq_columns = {0, 2, 4, 6, 1, 3, 5, 7};

bool ends_in(const std::string& name, std::string_view ending, std::string& stem) {
  if (name.size() <= ending.size() || !name.ends_with(ending)) return false;
  stem = name.substr(0, name.size() - ending.size());
  return true;
}

/// "<p>" of "<p>.weight".
std::string stem_of(const std::string& weight) { return weight.substr(0, weight.size() - std::strlen(".weight")); }

/// A table of two dimensions, neither empty.
TensorView table(const TensorSource& source, const std::string& name, DType dtype) {
  const TensorView view = source.get(name);
  if (view.dtype != dtype)
    fail(Code::E_DTYPE, "tensor \"%s\" has dtype %s, expected %s.", name.c_str(), dtype_name(view.dtype), dtype_name(dtype));
  if (view.shape.size() != 2 || view.shape[0] < 1 || view.shape[1] < 1)
    fail(Code::E_SHAPE, "tensor \"%s\" is %s, expected two dimensions.", name.c_str(), shape_text(view.shape).c_str());
  return view;
}

void expect_shape(const TensorView& view, const std::string& name, int64_t rows, int64_t columns) {
  if (view.shape[0] != rows || view.shape[1] != columns)
    fail(Code::E_SHAPE, "tensor \"%s\" is %s, expected [%lld, %lld]. The checkpoint is damaged.", name.c_str(),
         shape_text(view.shape).c_str(), static_cast<long long>(rows), static_cast<long long>(columns));
}

uint32_t word(const TensorView& view, int64_t index) {
  uint32_t value;
  std::memcpy(&value, static_cast<const uint8_t*>(view.data) + static_cast<size_t>(index) * sizeof value, sizeof value);
  return value;
}

int nibble(uint32_t word, int place) { return static_cast<int>(word >> (4 * place) & 15u); }

/// Four-bit codes of GPTQ and AWQ.
class FourBitGroups {
 public:
  FourBitGroups(const TensorSource& source, const std::string& stem, Packing packing)
      : source_(source), stem_(stem), awq_(packing == Packing::awq), subtract_(packing == Packing::gptq ? 1 : 0) {
    const TensorView codes = table(source, stem + ".qweight", DType::i32);
    N = codes.shape[1] * (awq_ ? word_codes : 1);
    K = codes.shape[0] * (awq_ ? 1 : word_codes);
  }

  int64_t N, K;

  AlignedBuffer<float> decode() const {
    const std::string zeros_name = stem_ + ".qzeros", scales_name = stem_ + ".scales";
    const TensorView codes = source_.get(stem_ + ".qweight");
    const TensorView zeros = table(source_, zeros_name, DType::i32);
    const int64_t groups = zeros.shape[0];
    if (N % word_codes != 0 || groups > K || K % groups != 0)
      fail(Code::E_SHAPE, "tensor \"%s\" has %lld groups for a weight [%lld, %lld], which they do not divide.", zeros_name.c_str(),
           static_cast<long long>(groups), static_cast<long long>(N), static_cast<long long>(K));
    expect_shape(zeros, zeros_name, groups, N / word_codes);
    expect_shape(source_.get(scales_name), scales_name, groups, N);
    const std::vector<float> scales = read_vector(source_, scales_name);
    const std::vector<size_t> group_of = groups_of_rows(groups);
    AlignedBuffer<float> out(static_cast<size_t>(N * K));
    std::vector<float> scale(static_cast<size_t>(groups));  // of column n, as `zero`
    std::vector<int> zero(scale.size());
    for (int64_t n = 0; n < N; ++n) {
      for (int64_t g = 0; g < groups; ++g) {
        scale[static_cast<size_t>(g)] = scales[static_cast<size_t>(g * N + n)];
        zero[static_cast<size_t>(g)] = (code(zeros, g, n) + subtract_) & 15;
      }
      for (int64_t k = 0; k < K; ++k) {
        const size_t g = group_of[static_cast<size_t>(k)];
        out[static_cast<size_t>(n * K + k)] = scale[g] * static_cast<float>(weight_code(codes, k, n) - zero[g]);
      }
    }
    return out;
  }

 private:
  /// Of a table [rows, N/8].
  int code(const TensorView& view, int64_t row, int64_t n) const {
    const uint32_t packed = word(view, row * (N / word_codes) + n / word_codes);
    return nibble(packed, awq_ ? awq_place[static_cast<size_t>(n % word_codes)] : static_cast<int>(n % word_codes));
  }
  int weight_code(const TensorView& codes, int64_t k, int64_t n) const {
    return awq_ ? code(codes, k, n) : nibble(word(codes, k / word_codes * N + n), static_cast<int>(k % word_codes));
  }

  std::vector<size_t> groups_of_rows(int64_t groups) const {
    std::vector<size_t> group_of(static_cast<size_t>(K));
    for (int64_t k = 0; k < K; ++k) group_of[static_cast<size_t>(k)] = static_cast<size_t>(k / (K / groups));
    const std::string name = stem_ + ".g_idx";
    if (awq_ || !source_.has(name)) return group_of;
    const TensorView view = source_.get(name);
    if (view.dtype != DType::i32 || view.elements() != K)
      fail(Code::E_SHAPE, "tensor \"%s\" is %s %s, expected I32 [%lld].", name.c_str(), dtype_name(view.dtype),
           shape_text(view.shape).c_str(), static_cast<long long>(K));
    for (int64_t k = 0; k < K; ++k) {
      const int64_t g = static_cast<int32_t>(word(view, k));
      if (g < 0 || g >= groups)
        fail(Code::E_FORMAT, "element %lld of \"%s\" is %lld, expected a group from 0 to %lld. The checkpoint is damaged.",
             static_cast<long long>(k), name.c_str(), static_cast<long long>(g), static_cast<long long>(groups - 1));
      group_of[static_cast<size_t>(k)] = static_cast<size_t>(g);
    }
    return group_of;
  }

  /// Where column 8j + i lies in its word: the inverse of awq_columns.
  static constexpr std::array<int, 8> awq_place = [] {
    std::array<int, 8> place{};
    for (int i = 0; i < 8; ++i) place[static_cast<size_t>(awq_columns[static_cast<size_t>(i)])] = i;
    return place;
  }();

  const TensorSource& source_;
  std::string stem_;
  bool awq_;
  int subtract_;
};

/// Scales of FP8, by the block that a number lies in.
struct BlockScales {
  std::vector<float> values;
  int64_t rows, columns;  // of a block
  int64_t across;         // blocks in a row of blocks
};

BlockScales read_scales(const TensorSource& source, const std::string& stem, const TensorView& codes, const PackedWeights& packed) {
  const int64_t N = codes.shape[0], K = codes.shape[1];
  const std::string inverse = stem + ".weight_scale_inv", direct = stem + ".weight_scale";
  const bool blocked = source.has(inverse);
  const std::string& name = blocked ? inverse : direct;
  const TensorView view = source.get(name);
  BlockScales scales{read_vector(source, name), blocked ? packed.block_rows : 1, blocked ? packed.block_columns : K, 1};
  if (blocked) {
    scales.across = (K + packed.block_columns - 1) / packed.block_columns;
    const int64_t down = (N + packed.block_rows - 1) / packed.block_rows;
    if (view.shape != std::vector<int64_t>{down, scales.across})
      fail(Code::E_SHAPE, "tensor \"%s\" is %s, expected [%lld, %lld]: blocks of %lld x %lld.", name.c_str(),
           shape_text(view.shape).c_str(), static_cast<long long>(down), static_cast<long long>(scales.across),
           static_cast<long long>(packed.block_rows), static_cast<long long>(packed.block_columns));
  } else if (view.elements() == 1) {
    scales.rows = N;
  } else if (view.elements() != N || view.shape[0] != N) {
    fail(Code::E_SHAPE, "tensor \"%s\" is %s, expected one number, or one for each of %lld rows.", name.c_str(),
         shape_text(view.shape).c_str(), static_cast<long long>(N));
  }
  return scales;
}

AlignedBuffer<float> decode_fp8(const TensorSource& source, const std::string& stem, const PackedWeights& packed) {
  const std::string name = stem + ".weight";
  const TensorView codes = table(source, name, DType::f8_e4m3);
  const BlockScales scales = read_scales(source, stem, codes, packed);
  std::array<float, 256> values;
  for (int code = 0; code < 256; ++code) values[static_cast<size_t>(code)] = e4m3_value(static_cast<uint8_t>(code));
  const int64_t N = codes.shape[0], K = codes.shape[1];
  const uint8_t* bytes = static_cast<const uint8_t*>(codes.data);
  AlignedBuffer<float> out(static_cast<size_t>(N * K));
  for (int64_t n = 0; n < N; ++n) {
    const float* row_scales = scales.values.data() + n / scales.rows * scales.across;
    for (int64_t k = 0; k < K; ++k) {
      const size_t at = static_cast<size_t>(n * K + k);
      out[at] = row_scales[k / scales.columns] * values[bytes[at]];
      if (!std::isfinite(out[at]))
        fail(Code::E_NONFINITE, "element [%lld, %lld] of \"%s\" is not finite. The checkpoint is damaged; get it anew.",
             static_cast<long long>(n), static_cast<long long>(k), name.c_str());
    }
  }
  return out;
}

/// The parts of every packed weight, by its name; E_MISSING where one has not all of them.
Parts find_parts(const TensorSource& source, Packing packing) {
  Parts parts;
  for (const std::string& name : source.names()) {
    std::string stem;
    if (packing == Packing::fp8) {
      if (!ends_in(name, ".weight", stem) || source.describe(name).dtype != DType::f8_e4m3) continue;
      const std::string blocked = stem + ".weight_scale_inv", plain = stem + ".weight_scale";
      const std::string& scale = source.has(blocked) ? blocked : plain;
      if (!source.has(scale))
        fail(Code::E_MISSING, "tensor \"%s\" is FP8, and has neither \"%s\" nor \"%s\" beside it.", name.c_str(), blocked.c_str(),
             plain.c_str());
      parts[name] = {name, scale};
    } else if (packing != Packing::none && ends_in(name, ".qweight", stem)) {
      std::vector<std::string>& found = parts[stem + ".weight"] = {name};
      for (const char* ending : {".qzeros", ".scales"}) {
        if (!source.has(stem + ending))
          fail(Code::E_MISSING, "tensor \"%s\" has no \"%s%s\" beside it.", name.c_str(), stem.c_str(), ending);
        found.push_back(stem + ending);
      }
      if (source.has(stem + ".g_idx")) found.push_back(stem + ".g_idx");
    }
  }
  return parts;
}

}  // namespace

float e4m3_value(uint8_t code) {
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  if (exponent == 15 && mantissa == 7) return std::nanf("");
  const float magnitude =
      exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -9) : std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
  return code & 0x80 ? -magnitude : magnitude;
}

PackedCheckpoint::PackedCheckpoint(std::unique_ptr<TensorSource> source, const PackedWeights& packed)
    : source_(std::move(source)), packed_(packed), parts_(find_parts(*source_, packed.packing)) {
  if (packed.packing != Packing::none && parts_.empty())
    fail(
        Code::E_FORMAT,
        "quantization_config of config.json says that weights are packed by %s, and none is. Take that field out if they are plain, or get "
        "the checkpoint anew.",
        packed.packing == Packing::fp8   ? "FP8"
        : packed.packing == Packing::awq ? "AWQ"
                                         : "GPTQ");
  for (const auto& [weight, parts] : parts_)
    for (const std::string& part : parts) weight_of_[part] = weight;
  for (const std::string& name : source_->names()) {
    const auto part = weight_of_.find(name);
    if (part == weight_of_.end())
      names_.push_back(name);
    else if (parts_.at(part->second)[0] == name)
      names_.push_back(part->second);
  }
}

TensorView PackedCheckpoint::describe(const std::string& name) const {
  const auto found = parts_.find(name);
  if (found == parts_.end()) return source_->describe(name);
  TensorView view;
  if (packed_.packing == Packing::fp8) {
    view.shape = table(*source_, name, DType::f8_e4m3).shape;
  } else {
    const FourBitGroups weight(*source_, stem_of(name), packed_.packing);
    view.shape = {weight.N, weight.K};
  }
  view.bytes = static_cast<size_t>(view.elements()) * sizeof(float);
  return view;
}

TensorView PackedCheckpoint::get(const std::string& name) const {
  if (parts_.count(name) == 0) return source_->get(name);
  TensorView view = describe(name);
  view.data = decoded_.get(name, [&] {
    const std::string stem = stem_of(name);
    return packed_.packing == Packing::fp8 ? decode_fp8(*source_, stem, packed_) : FourBitGroups(*source_, stem, packed_.packing).decode();
  });
  return view;
}

void PackedCheckpoint::release(const std::string& name) const {
  const auto found = parts_.find(name);
  if (found == parts_.end()) return source_->release(name);
  decoded_.release(name);
  for (const std::string& part : found->second) source_->release(part);
}

}  // namespace fedlora
