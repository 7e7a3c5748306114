// Checkpoints rewritten: what is quantised is what the encoders give, what is merged is W + s·B·A summed as written here, and every other
// tensor keeps its bytes.
#include <set>

#include "base/half.h"
#include "convert/merge.h"
#include "convert/quantize.h"
#include "golden_model.h"
#include "harness.h"
#include "io/bnb_checkpoint.h"
#include "model/tensor_list.h"
#include "quant/encode.h"
#include "scratch_folder.h"

using namespace fedlora;

namespace {

const std::string llama = golden_path("llama", "model.safetensors");

bool same_bytes(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && a.bytes == b.bytes && std::memcmp(a.data, b.data, a.bytes) == 0;
}

std::set<std::string> names_of(const Checkpoint& checkpoint) {
  const std::vector<std::string> names = checkpoint.names();
  return {names.begin(), names.end()};
}

/// W + s·B·A in float32, products summed over the rank first.
std::vector<float> merged_by_hand(std::vector<float> W, const ModelTensor& linear, const Adapter& adapter) {
  const AdapterSlot& slot = adapter.slot(linear.layer, linear.place);
  const float *A = adapter.values.data() + slot.A, *B = adapter.values.data() + slot.B;
  for (int64_t n = 0; n < linear.N && slot.rank > 0; ++n)
    for (int64_t k = 0; k < linear.K; ++k) {
      float sum = 0;
      for (int64_t r = 0; r < slot.rank; ++r) sum += B[n * slot.rank + r] * A[r * linear.K + k];
      W[static_cast<size_t>(n * linear.K + k)] += slot.scaling * sum;
    }
  return W;
}

Adapter one_layer(const Description& description, const std::string& module, float value) {
  Adapter adapter{AdapterMap(description, {{module, 3, 0.5f, 0}})};
  adapter.initialize(1);
  for (float& number : adapter.values.span()) number += value;
  return adapter;
}

QuantizeRequest request_of(const Description& description, Format format, const std::string& output) {
  QuantizeRequest request;
  request.files = {llama};
  request.output = output;
  for (const ModelTensor& linear : list_linears(description)) request.modules.push_back(linear.module);
  request.format = format;
  return request;
}

}  // namespace

CASE("merging: every adapted weight is W + s·B·A, every other tensor keeps its bytes") {
  const Golden golden("llama");
  const ScratchFolder folder;
  const Checkpoint source({llama});
  const std::string target = golden.description.layers[1].linear(linear_o).module;
  for (const Adapter& adapter : {golden.adapter(), one_layer(golden.description, target, 0.1f)}) {
    const RewriteResult result = merge_checkpoint({llama}, folder / "merged", golden.description, adapter);
    const Checkpoint merged({folder / "merged"});
    CHECK(names_of(merged) == names_of(source));
    int64_t changed = 0;
    std::set<std::string> linears;
    for (const ModelTensor& linear : list_linears(golden.description)) {
      linears.insert(linear.name());
      const std::vector<float> before = read_vector(source, linear.name()), after = read_vector(merged, linear.name());
      CHECK(after == merged_by_hand(before, linear, adapter));
      changed += after != before;
    }
    for (const std::string& name : source.names())
      if (linears.count(name) == 0) CHECK(same_bytes(source.get(name), merged.get(name)));
    CHECK(changed == static_cast<int64_t>(adapter.layout().size() / 2) && result.changed == changed);
    CHECK(result.tensors == static_cast<int64_t>(source.names().size()) && result.bytes > 1000);
    CHECK(result.bytes == file_bytes(folder / "merged"));
  }
}

CASE("canary: another scaling is another merged weight") {
  const Golden golden("llama");
  const ModelTensor linear = list_linears(golden.description)[0];
  const std::vector<float> W = read_vector(Checkpoint({llama}), linear.name());
  const Adapter adapter = golden.adapter();
  Adapter other{AdapterMap(golden.description, {{linear.module, 8, 2.1f, 0}})};
  std::copy_n(adapter.values.span().begin(), other.values.size(), other.values.span().begin());
  CHECK(merged_by_hand(W, linear, adapter) != merged_by_hand(W, linear, other));
}

CASE("quantising writes what the encoder gives, and keeps the rest") {
  const Description description = golden_description("llama");
  const ScratchFolder folder;
  const Checkpoint source({llama});
  ThreadPool pool(1);
  for (const Format format : {Format::nf4, Format::fp4, Format::int8})
    for (const bool nested : {false, true}) {
      QuantizeRequest request = request_of(description, format, folder / "quantised");
      request.double_quantization = nested;
      request.block = nested ? 128 : 64;
      const RewriteResult result = quantize_checkpoint(request);
      const Checkpoint quantised({request.output});
      CHECK(result.changed == 14 && result.tensors == static_cast<int64_t>(quantised.names().size()));
      CHECK(result.bytes == file_bytes(request.output));
      std::set<std::string> linears;
      for (const ModelTensor& linear : list_linears(description)) {
        linears.insert(linear.name());
        CHECK(bnb_format(quantised, linear.name()) == format);
        const Matrix got = read_bnb_matrix(quantised, linear.name());
        const Matrix want = encode_matrix(format, source.get(linear.name()), request.block, nested, pool);
        CHECK(got.N == want.N && got.K == want.K && got.block == want.block && got.nested() == want.nested());
        CHECK(got.data.bytes() == want.data.bytes() && std::memcmp(got.data.data(), want.data.data(), got.data.bytes()) == 0);
        std::vector<float> a(static_cast<size_t>(got.elements())), b(a.size());
        decode(got, 0, got.elements(), a.data());
        decode(want, 0, want.elements(), b.data());
        CHECK(a == b);
      }
      for (const std::string& name : source.names())
        if (linears.count(name) == 0) CHECK(same_bytes(source.get(name), quantised.get(name)));
      request.files = {request.output};
      request.output = folder / "again";
      CHECK_THROWS(quantize_checkpoint(request), E_ARGUMENT);
    }
}

CASE("merging into a quantised checkpoint: its linear layers become bf16, adapted or not, and their parts are gone") {
  const Description description = golden_description("llama");
  const ScratchFolder folder;
  const QuantizeRequest request = request_of(description, Format::nf4, folder / "quantised");
  quantize_checkpoint(request);
  const Checkpoint quantised({request.output});
  const Adapter adapter = one_layer(description, description.layers[0].linear(linear_down).module, 0.05f);
  const RewriteResult result = merge_checkpoint({request.output}, folder / "merged", description, adapter);
  const Checkpoint merged({folder / "merged"});
  CHECK(result.changed == 1 && names_of(merged) == names_of(Checkpoint({llama})));
  for (const ModelTensor& linear : list_linears(description)) {
    CHECK(merged.get(linear.name()).dtype == DType::bf16 && merged.get(linear.name()).shape == linear.shape());
    const Matrix matrix = read_bnb_matrix(quantised, linear.name());
    std::vector<float> W(static_cast<size_t>(matrix.elements()));
    decode(matrix, 0, matrix.elements(), W.data());
    std::vector<float> want = merged_by_hand(W, linear, adapter);
    for (float& value : want) value = to_f32(to_bf16(value));
    CHECK(read_vector(merged, linear.name()) == want);
  }
}

CASE("what cannot be merged or quantised is refused by code, and leaves no file") {
  const Description description = golden_description("llama");
  const ScratchFolder folder;
  const std::string module = description.layers[0].linear(linear_up).module, output = folder / "out";
  // The sum's 1e38 · 1e38 is infinite.
  CHECK_THROWS(merge_checkpoint({llama}, output, description, one_layer(description, module, 1e38f)), E_NONFINITE);
  CHECK(folder.entries() == 0);
  QuantizeRequest request = request_of(description, Format::nf4, output);
  request.modules.push_back("model.nowhere");
  CHECK_THROWS(quantize_checkpoint(request), E_MISSING);
  Description wider = description;
  linear_at(wider.layers[0], linear_up).N += 8;
  CHECK_THROWS(merge_checkpoint({llama}, output, wider, one_layer(wider, module, 0.1f)), E_SHAPE);
  CHECK(folder.entries() == 0);
  // A copy of the checkpoint as its own output, by another path.
  const Checkpoint source({llama});
  const RewriteResult copy = merge_checkpoint({llama}, folder / "copy", description, Adapter(AdapterMap(description, {})));
  CHECK(copy.changed == 0 && copy.tensors == static_cast<int64_t>(source.names().size()));
  CHECK_THROWS(merge_checkpoint({folder / "copy"}, folder / "./copy", description, Adapter(AdapterMap(description, {}))), E_ARGUMENT);
  QuantizeRequest onto_itself = request_of(description, Format::int8, folder / "./copy");
  onto_itself.files = {folder / "copy"};
  CHECK_THROWS(quantize_checkpoint(onto_itself), E_ARGUMENT);
  // Codes where the model has no linear layer cannot be merged.
  QuantizeRequest norm = request_of(description, Format::nf4, folder / "table");
  norm.modules = {description.embedding};
  quantize_checkpoint(norm);
  CHECK_THROWS(merge_checkpoint({folder / "table"}, output, description, Adapter(AdapterMap(description, {}))), E_UNSUPPORTED);
}

TEST_MAIN()
