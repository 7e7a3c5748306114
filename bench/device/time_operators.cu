// Speed of the operators on the device, in the sizes of Llama-3.1-8B's layers: a Markdown table, a row each, as they come.
//
//   time_operators [TEXT]      only groups whose name contains TEXT: ceilings, gemm, lora, attention, loss, rows, optimizer
//
// Products count 2·M·N·K operations; causal attention the half of the square that is there (forward 2 products, backward 5). Bytes are
// those that must move: each input read once, each output written once.
#include <cstring>

#include "backend/cuda/launch/attention.h"
#include "backend/cuda/launch/cross_entropy.h"
#include "backend/cuda/launch/decode_weight.h"
#include "backend/cuda/launch/gemm.h"
#include "backend/cuda/launch/glu.h"
#include "backend/cuda/launch/lora_linear.h"
#include "backend/cuda/launch/optimizer.h"
#include "backend/cuda/launch/rms_norm.h"
#include "backend/cuda/launch/rope.h"
#include "stopwatch.h"

using namespace fedlora;
using namespace fedlora::cuda;
using stopwatch::line;
using stopwatch::median_seconds;
using stopwatch::Numbers;

namespace {

Queue queue{nullptr, 0};
constexpr double tera = 1e-12, giga = 1e-9;

std::string sized(const char* what, std::initializer_list<std::pair<const char*, int64_t>> sizes) {
  std::string text = what;
  for (const auto& [name, size] : sizes) text += std::string(" ") + name + " " + std::to_string(size);
  return text;
}

struct Layer {
  const char* name;
  int64_t N, K;
};
constexpr Layer layers[] = {{"q, o", 4096, 4096}, {"k, v", 1024, 4096}, {"gate, up", 14336, 4096}, {"down", 4096, 14336}};

void ceilings() {
  const int64_t bytes = int64_t{2} << 30;
  const Numbers<float> from(bytes / 4), to(bytes / 4);
  line("copy of 2 GiB, read and written", median_seconds([&] { cudaMemcpyAsync(to.data(), from.data(), bytes, cudaMemcpyDeviceToDevice); }),
       2 * static_cast<double>(bytes) * giga, "GB/s");
}

void products() {
  for (const int64_t M : {2048, 8192})
    for (const Layer& layer : layers) {
      const auto [name, N, K] = layer;
      const double work = 2.0 * static_cast<double>(M * N * K) * tera;
      const Numbers<bf16> x(M * K), W(N * K, 0.02f), y(M * N);
      const Product forward{x.data(), K, W.data(), K, K, Right::rows}, backward{y.data(), N, W.data(), K, N, Right::columns};
      line(sized(name, {{"x·Wᵀ, M", M}, {"N", N}, {"K", K}}),
           median_seconds([&] { gemm(queue, Element::bf16, Element::bf16, M, N, {&forward, 1}, {y.data(), N, 1, nullptr}); }), work,
           "TF/s");
      line(sized(name, {{"d_y·W, M", M}, {"N", N}, {"K", K}}),
           median_seconds([&] { gemm(queue, Element::bf16, Element::bf16, M, K, {&backward, 1}, {x.data(), K, 1, nullptr}); }), work,
           "TF/s");
    }
}

void adapters() {
  constexpr int R = 16;
  for (const int64_t M : {2048, 8192})
    for (const Layer& layer : layers) {
      const auto [name, N, K] = layer;
      const double work = 2.0 * static_cast<double>(M * N * K) * tera;
      const Numbers<bf16> x(M * K), W(N * K, 0.02f), y(M * N), h(M * R), d_x(M * K);
      const Numbers<float> A(R * K, 0.01f), B(N * R, 0.01f), d_A(R * K), d_B(N * R);
      const DeviceMatrix matrix{Format::bf16, N, K, 0, W.data(), nullptr};
      const LoraPair pair{R, 1.0f, A.data(), B.data(), d_A.data(), d_B.data()};
      const SegmentView segment{0, M, {&pair, 1}};
      const TargetView target{&matrix, nullptr, y.data(), h.data(), R, y.data()};
      const View<const TargetView> targets{&target, 1};
      const View<const SegmentView> segments{&segment, 1};
      const Numbers<unsigned char> workspace(
          static_cast<int64_t>(std::max(lora_linear_workspace(Direction::forward, targets, segments, Element::bf16),
                                        lora_linear_workspace(Direction::backward, targets, segments, Element::bf16))));
      line(sized(name, {{"lora_linear_forward, r 16, M", M}}),
           median_seconds([&] { lora_linear_forward(queue, M, x.data(), targets, segments, Element::bf16, workspace.data()); }), work,
           "TF/s of the base");
      line(sized(name, {{"lora_linear_backward, r 16, M", M}}), median_seconds([&] {
             lora_linear_backward(queue, M, x.data(), targets, segments, d_x.data(), Element::bf16, workspace.data());
           }),
           work, "TF/s of the base");
    }
}

void attention() {
  struct Case {
    int heads, kv_heads, head_dim;
    int64_t T, sequences;
  };
  for (const auto& [H, G, D, T, sequences] :
       {Case{32, 8, 128, 2048, 1}, Case{32, 8, 128, 2048, 4}, Case{32, 8, 64, 2048, 1}, Case{9, 3, 64, 512, 8}}) {
    const AttentionShape shape{H, G, D, 0.088f, 0};
    const int64_t M = T * sequences;
    std::vector<int64_t> offsets;
    for (int64_t i = 0; i <= sequences; ++i) offsets.push_back(i * T);
    const std::vector<AttentionTile> tiles = attention_tiles(offsets, attention_tile_rows(queue, shape, Element::bf16));
    const Numbers<unsigned char> staged(static_cast<int64_t>(tiles.size() * sizeof(AttentionTile)));
    cudaMemcpy(staged.data(), tiles.data(), tiles.size() * sizeof(AttentionTile), cudaMemcpyHostToDevice);
    const auto* list = reinterpret_cast<const AttentionTile*>(staged.data());
    const auto count = static_cast<int64_t>(tiles.size());
    const Numbers<bf16> q(M * H * D), k(M * G * D), v(M * G * D), o(M * H * D), d_o(M * H * D), d_q(M * H * D), d_k(M * G * D),
        d_v(M * G * D);
    const Numbers<float> lse(M * H * 2);
    const Numbers<unsigned char> workspace(static_cast<int64_t>(attention_backward_workspace(M, shape, Element::bf16)));
    const double product = static_cast<double>(M * T * H) * D * tera;  // 2·T²/2·D a head
    line(sized("attention_forward", {{"T", T}, {"×", sequences}, {"heads", H}, {"D", D}}),
         median_seconds(
             [&] { attention_forward(queue, shape, count, list, q.data(), k.data(), v.data(), o.data(), lse.data(), Element::bf16); }, 5),
         2 * product, "TF/s");
    line(sized("attention_backward", {{"T", T}, {"×", sequences}, {"heads", H}, {"D", D}}),
         median_seconds(
             [&] {
               attention_backward(queue, shape, M, count, list, q.data(), k.data(), v.data(), o.data(), lse.data(), d_o.data(), d_q.data(),
                                  d_k.data(), d_v.data(), Element::bf16, workspace.data());
             },
             5),
         5 * product, "TF/s");
  }
}

void loss() {
  constexpr int64_t M = 2048, V = 128256, K = 4096;
  const Numbers<bf16> x(M * K), W(V * K, 0.02f), d_x(M * K);
  const Numbers<float> losses(M), scales(M);
  const std::vector<int32_t> some(M, 77);
  const Numbers<float> targets(M);
  cudaMemcpy(targets.data(), some.data(), M * 4, cudaMemcpyHostToDevice);
  const DeviceMatrix head{Format::bf16, V, K, 0, W.data(), nullptr};
  const Numbers<unsigned char> workspace(static_cast<int64_t>(cross_entropy_workspace(M, head, Element::bf16, true)));
  line(sized("linear_cross_entropy, forward and backward, M", {{"", M}, {"V", V}, {"K", K}}),
       median_seconds(
           [&] {
             linear_cross_entropy(queue, M, x.data(), head, 1, reinterpret_cast<const int32_t*>(targets.data()), scales.data(),
                                  losses.data(), nullptr, d_x.data(), Element::bf16, workspace.data());
           },
           5),
       4.0 * static_cast<double>(M * V * K) * tera, "TF/s");
}

void rows() {
  constexpr int64_t M = 8192, K = 4096, F = 14336;
  const Numbers<float> x(M * K), weight(K), rstd(M), cosine(M * 64), sine(M * 64);
  const Numbers<bf16> a(M * F), b(M * F), c(M * F), d(M * F), e(M * F);
  const auto bytes = [](double each, int64_t count) { return each * static_cast<double>(count) * giga; };
  line(sized("rms_norm_forward M", {{"", M}, {"K", K}}), median_seconds([&] {
         rms_norm_forward(queue, M, K, x.data(), a.data(), weight.data(), 1e-5f, b.data(), rstd.data(), c.data(), Element::bf16);
       }),
       bytes(14, M * K), "GB/s");
  line(sized("rms_norm_rebuild M", {{"", M}, {"K", K}}),
       median_seconds([&] { rms_norm_rebuild(queue, M, K, a.data(), rstd.data(), weight.data(), b.data(), Element::bf16); }),
       bytes(4, M * K), "GB/s");
  line(sized("rms_norm_backward M", {{"", M}, {"K", K}}), median_seconds([&] {
         rms_norm_backward(queue, M, K, a.data(), b.data(), rstd.data(), weight.data(), x.data(), c.data(), Element::bf16);
       }),
       bytes(14, M * K), "GB/s");
  line(sized("row_norm_forward rows", {{"", M * 32}, {"width", 128}}), median_seconds([&] {
         row_norm_forward(queue, M * 32, 128, a.data(), weight.data(), 1e-5f, b.data(), cosine.data(), Element::bf16);
       }),
       bytes(4, M * K), "GB/s");
  std::vector<int32_t> positions(M);
  for (size_t i = 0; i < positions.size(); ++i) positions[i] = static_cast<int32_t>(i);
  const Numbers<float> staged(M);
  cudaMemcpy(staged.data(), positions.data(), M * 4, cudaMemcpyHostToDevice);
  line(sized("rope M", {{"", M}, {"heads", 32}, {"D", 128}}), median_seconds([&] {
         rope(queue, M, 32, 128, reinterpret_cast<const int32_t*>(staged.data()), cosine.data(), sine.data(), false, a.data(),
              Element::bf16);
       }),
       bytes(4, M * K), "GB/s");
  line(sized("glu_forward silu", {{"", M * F}}),
       median_seconds([&] { glu_forward(queue, Activate::silu, M * F, a.data(), b.data(), c.data(), Element::bf16); }), bytes(6, M * F),
       "GB/s");
  line(sized("glu_backward silu", {{"", M * F}}), median_seconds([&] {
         glu_backward(queue, Activate::silu, M * F, a.data(), b.data(), c.data(), d.data(), e.data(), nullptr, Element::bf16);
       }),
       bytes(10, M * F), "GB/s");
  const Numbers<unsigned char> codes(F * K);
  const Numbers<float> absmax(F * K / 64, 0.02f);
  for (const Format format : {Format::nf4, Format::int8}) {
    const DeviceMatrix matrix{format, F, K, format == Format::nf4 ? 64 : 0, codes.data(), absmax.data()};
    line(sized(format == Format::nf4 ? "decode_weight nf4" : "decode_weight int8", {{"", F * K}}),
         median_seconds([&] { decode_weight(queue, matrix, Element::bf16, a.data()); }), bytes(format == Format::nf4 ? 2.5625 : 3, F * K),
         "GB/s");
  }
}

void optimizer() {
  constexpr int64_t count = 41943040;  // rank 16 on every linear layer of Llama-3.1-8B
  const Numbers<float> w(count), g(count), m(count), v(count), workspace(count / 256);
  const Numbers<float> result(16);
  const AdamWStep step{1e-4, 0.9, 0.999, 1e-8, 0.01, 3, 1.0f};
  line(sized("adamw", {{"", count}}), median_seconds([&] { adamw(queue, step, count, w.data(), g.data(), m.data(), v.data()); }),
       32.0 * count * giga, "GB/s");
  line(sized("sum_of_squares", {{"", count}}),
       median_seconds([&] { sum_of_squares(queue, count, w.data(), reinterpret_cast<double*>(result.data()), workspace.data()); }),
       4.0 * count * giga, "GB/s");
}

}  // namespace

int main(int argc, char** argv) {
  cudaDeviceProp properties;
  stopwatch::expect(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  queue.architecture = 10 * properties.major + properties.minor;
  std::printf("%s, %d multiprocessors\n\n| what | µs | speed |\n|---|--:|--:|\n", properties.name, properties.multiProcessorCount);
  const std::pair<const char*, void (*)()> groups[] = {{"ceilings", ceilings},   {"gemm", products}, {"rows", rows},
                                                       {"optimizer", optimizer}, {"loss", loss},     {"lora", adapters},
                                                       {"attention", attention}};
  int status = 0;
  for (const auto& [name, group] : groups) {
    if (argc > 1 && std::strstr(name, argv[1]) == nullptr) continue;
    try {
      group();
      stopwatch::expect(cudaGetLastError(), name);
    } catch (const std::exception& error) {
      std::printf("%s: %s\n", name, error.what());
      status = 1;
    }
  }
  return status;
}
