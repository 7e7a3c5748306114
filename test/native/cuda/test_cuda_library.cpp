// The library without its operators: what it refuses, memory, staged arrays, workspace, and how a failure is told.
#include "cuda_check.h"

#include "backend/cuda/connection.h"
#include "backend/cuda/device/prelude.h"
#include "backend/cuda/launch/decode_weight.h"
#include "backend/cuda/launch/device_matrix.h"
#include "backend/cuda/library/operator_entry.h"
#include "backend/cuda/library/staging.h"

using namespace fedlora;
using cuda::Connection;
using cuda::OpenRequest;

extern "C" cuda::Verdict fedlora_cuda_v1(cuda::Api* api);

namespace {

const cuda::Api& library() {
  static cuda::Api table;
  static const cuda::Api* filled = cuda::table_of(fedlora_cuda_v1, table, "the linked library");
  return *filled;
}

std::string text_of(const std::function<void()>& work, Code code) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  CHECK(false);
  return {};
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

template <class T>
std::vector<T> downloaded(const Connection& to, const T* from, size_t count) {
  std::vector<T> values(count);
  to.call(to.api().download, from, values.data(), static_cast<int64_t>(count * sizeof(T)));
  return values;
}

__global__ void fill(int count, int* x, int value) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < count) x[i] = value;
}

void launch_fill(cuda::Context& context, int64_t M, int64_t K, cuda::View<const int32_t> ids, int* x) {
  (void)ids;
  FED_LAUNCH(fill, dim3(1), dim3(32), 0, context.queue.stream, static_cast<int>(M * K), x, 7);
}

}  // namespace

CASE("a table of another size, number or contract is left alone and answered with the library's own") {
  for (int what = 0; what < 3; ++what) {
    cuda::Api api{};
    api.size = sizeof(cuda::Api) + (what == 0 ? 8 : 0);
    api.abi = cuda::abi_version + (what == 1 ? 1 : 0);
    api.fingerprint = cuda::fingerprint + (what == 2 ? 1 : 0);
    CHECK(fedlora_cuda_v1(&api) == cuda::Verdict::abi);
    CHECK(api.size == sizeof(cuda::Api) && api.abi == cuda::abi_version && api.fingerprint == cuda::fingerprint);
    CHECK(api.machine == nullptr && api.own_bytes == nullptr);
  }
}

CASE("devices: what there is, and what cannot be opened") {
  cuda::Machine machine;
  cuda::Status status;
  CHECK(library().machine(&machine, &status) == cuda::Verdict::ok && machine.devices >= 1 && machine.driver > 0);
  const std::string none = text_of([&] { Connection(library(), OpenRequest{99, Compute::f32}); }, Code::E_CUDA_DEVICE);
  CHECK(says(none, "cuda:99") && says(none, std::to_string(machine.devices)));
#if defined(FEDLORA_EMULATED)
  emulator::options.architecture = 75;
  const std::string old = text_of([&] { Connection(library(), OpenRequest{0, Compute::f32}); }, Code::E_CUDA_CAPABILITY);
  CHECK(says(old, "7.5") && says(old, "8.0"));
  emulator::options.architecture = 90;
#endif
  const Connection connection(library(), OpenRequest{0, Compute::bf16});
  CHECK(connection.device().capability >= 80 && connection.device().total_bytes > 0);
}

CASE("memory: zeros at first, aligned, in order") {
  const Connection connection(library(), OpenRequest{0, Compute::f32});
  const cuda::Api& api = connection.api();
  void *a = nullptr, *b = nullptr;
  connection.call(api.allocate, 1000, &a);
  connection.call(api.allocate, 1000, &b);
  CHECK(reinterpret_cast<uintptr_t>(a) % 256 == 0 && a != b);
  CHECK(downloaded(connection, static_cast<const float*>(a), 250) == std::vector<float>(250));
  std::vector<float> values(250, 3.5f);
  connection.call(api.upload, values.data(), a, 1000);
  values.assign(250, 0);  // may be used again at once
  connection.call(api.copy, a, b, 1000);
  connection.call(api.zero, a, 500);
  const std::vector<float> first = downloaded(connection, static_cast<const float*>(a), 250);
  CHECK(first[124] == 0 && first[125] == 3.5f);
  CHECK(downloaded(connection, static_cast<const float*>(b), 250) == std::vector<float>(250, 3.5f));
  api.release(connection.context(), a);
  api.release(connection.context(), b);
}

CASE("a matrix: its bytes and its scales behind them") {
  const Connection connection(library(), OpenRequest{0, Compute::f32});
  const std::vector<uint8_t> codes(3 * 65 / 2 + 1, 0x5a);
  const std::vector<float> absmax = {1, 2, 3, 4};
  const cuda::HostMatrix host{Format::nf4, 64, 3, 65, {codes.data(), static_cast<int64_t>(codes.size())}, {absmax.data(), 4}};
  const cuda::DeviceMatrix* matrix = nullptr;
  connection.call(connection.api().adopt, &host, 0, &matrix);
  CHECK(matrix->format == Format::nf4 && matrix->N == 3 && matrix->K == 65 && matrix->block == 64);
  CHECK(downloaded(connection, static_cast<const uint8_t*>(matrix->data), codes.size()) == codes);
  CHECK(downloaded(connection, matrix->absmax, 4) == absmax);
  CHECK(connection.api().matrix_bytes(matrix) == 512);
  connection.api().drop(connection.context(), matrix);
}

CASE("a matrix in codes may be held as the numbers that decoding it gives") {
  const Connection connection(library(), OpenRequest{0, Compute::bf16});
  const std::vector<uint8_t> codes(3 * 64 / 2, 0x5a);
  const std::vector<float> absmax = {1, 2, 3};
  const cuda::HostMatrix host{Format::nf4, 64, 3, 64, {codes.data(), static_cast<int64_t>(codes.size())}, {absmax.data(), 3}};
  const cuda::DeviceMatrix *packed = nullptr, *numbers = nullptr;
  connection.call(connection.api().adopt, &host, 0, &packed);
  connection.call(connection.api().adopt, &host, 1, &numbers);
  CHECK(numbers->format == Format::bf16 && numbers->N == 3 && numbers->K == 64 && numbers->absmax == nullptr);
  check::DeviceArray<uint16_t> slab(3 * 64);
  cuda::decode_weight(cuda::Queue{nullptr, 80}, *packed, cuda::Element::bf16, slab.data());
  CHECK(downloaded(connection, static_cast<const uint16_t*>(numbers->data), 3 * 64) == slab.values());
  connection.api().drop(connection.context(), packed);
  connection.api().drop(connection.context(), numbers);
}

CASE("needs: the ring, the widest workspace of a layer, and what the loss takes beyond it") {
  const Connection connection(library(), OpenRequest{0, Compute::f32});
  OwnBytes small, large;
  const PassSize pass{100, 50, 1000, 4, 4, 64, 0};
  connection.api().needs(connection.context(), &pass, &small);
  CHECK(small.scratch == (size_t{4} << 20) + (100 * 4 * 2 * sizeof(float) + 255) / 256 * 256 &&
        small.loss > 50 * 1000 * sizeof(float) - 4000);
  const PassSize longer{1 << 20, 50, 1000, 4, 4, 64, 0};
  connection.api().needs(connection.context(), &longer, &large);
  CHECK(large.scratch == (size_t{20} << 20) + (size_t{4} << 20) * 2 * sizeof(float) && large.loss == 0);
}

CASE("staged arrays arrive, whatever their size and number; equal ones are sent once") {
  cudaStream_t stream = nullptr;
  cudaStreamCreate(&stream);
  {
    cuda::Staging staging(stream);
    const auto send = [&](const std::vector<int>& values) {
      return staging.send(cuda::View<const int>{values.data(), static_cast<int64_t>(values.size())});
    };
    const auto arrived = [&](const int* place, const std::vector<int>& values) {
      std::vector<int> there(values.size());
      cudaMemcpyAsync(there.data(), place, values.size() * sizeof(int), cudaMemcpyDeviceToHost, stream);
      cudaStreamSynchronize(stream);
      return there == values;
    };
    CHECK(send({}) == nullptr && staging.bytes() == 0);
    const std::vector<int> small = {1, 2, 3};
    const int* place = send(small);
    CHECK(send(small) == place && send({1, 2, 4}) != place && reinterpret_cast<uintptr_t>(place) % 256 == 0);
    // An array larger than a part: what an operator has sent before stays where it is.
    const std::vector<int> large(size_t{1} << 20, 9);
    CHECK(arrived(send(large), large) && arrived(place, small));
    // Around the ring several times.
    bool all = true;
    std::vector<const int*> places;
    const auto values_of = [](size_t i) { return std::vector<int>(100000 + i, static_cast<int>(i)); };
    for (size_t i = 0; i < 200; ++i) {
      places.push_back(send(values_of(i)));
      all = all && arrived(places[i], values_of(i)) && (i < 12 || arrived(places[i - 12], values_of(i - 12)));
    }
    CHECK(all);
    CHECK(staging.bytes() == (size_t{4} << 20) + (size_t{16} << 20));
    CHECK(cuda::Staging::bytes_for(large.size() * sizeof(int)) == staging.bytes() && cuda::Staging::bytes_for(12) == size_t{4} << 20);
  }
  cudaStreamDestroy(stream);
}

CASE("the workspace grows and is kept") {
  cuda::Context context(OpenRequest{0, Compute::f32});
  CHECK(context.workspace.reserve(0) == nullptr);
  void* block = context.workspace.reserve(1000);
  CHECK(block != nullptr && context.workspace.reserve(10) == block && context.workspace.bytes() == 1000);
  context.workspace.reserve(5000);
  CHECK(context.workspace.bytes() == 5000);
}

CASE("an operator's failure names it with its shapes") {
  CHECK(cuda::describe_call("rope", cuda::arguments_of("rope"),
                            {3, 4, 8, 6, 5, cuda::no_shape, cuda::no_shape, cuda::no_shape, cuda::no_shape}) ==
        "rope(M 3, heads 4, head_dim 8, rotary_dim 6, positions 5)");
  CHECK(cuda::describe_call("zero", cuda::arguments_of("zero"), {12, cuda::no_shape}) == "zero(count 12)");
  CHECK(std::string(cuda::arguments_of("nothing")) == "()");
}

#if defined(FEDLORA_EMULATED)
CASE("no memory: refused with what there is, and everything works afterwards") {
  emulator::options.memory = size_t{1} << 20;
  const Connection connection(library(), OpenRequest{0, Compute::f32});
  void* block = nullptr;
  const std::string text = text_of([&] { connection.call(connection.api().allocate, int64_t{1} << 40, &block); }, Code::E_MEMORY);
  CHECK(says(text, "1099.51 GB") && says(text, "0.00 GB free") && !says(text, "cannot go on"));
  emulator::options.memory = size_t{8} << 30;
  connection.call(connection.api().allocate, 1000, &block);
  connection.api().release(connection.context(), block);
}

CASE("a launch that fails is told by its operator") {
  const Connection connection(library(), OpenRequest{0, Compute::f32});
  const auto entry = FED_ENTRY(launch_fill, "embedding_forward");
  void* block = nullptr;
  connection.call(connection.api().allocate, 1000, &block);
  const std::vector<int32_t> ids(5);
  const cuda::View<const int32_t> view{ids.data(), 5};
  const auto work = [&] { connection.call(entry, 3, 4, view, static_cast<int*>(block)); };
  emulator::options.failing_launch = 1;
  const std::string text = text_of(work, Code::E_CUDA);
  CHECK(says(text, "embedding_forward(") && says(text, "cudaErrorLaunchFailure"));
  work();
  CHECK(downloaded(connection, static_cast<const int*>(block), 12) == std::vector<int>(12, 7));
  connection.api().release(connection.context(), block);
}
#endif

CASE("what is thrown becomes a verdict: host memory, or the thrower's words") {
  cuda::Status status;
  CHECK(cuda::guarded(&status, [] { throw std::bad_alloc(); }) == cuda::Verdict::memory);
  CHECK(std::string(status.text) == "memory of the host is exhausted");
  CHECK(cuda::guarded(&status, [] { throw std::runtime_error("refused"); }) == cuda::Verdict::failed);
  CHECK(std::string(status.text) == "refused");
}

CUDA_TEST_MAIN()
