/// The one symbol that the library exports, and the table that it fills.
#include <memory>

#include "backend/cuda/library/adopt.h"
#include "backend/cuda/library/machine.h"
#include "backend/cuda/library/memory.h"
#include "backend/cuda/library/needs.h"
#include "backend/cuda/library/operators.h"

namespace fedlora::cuda {

namespace {

Verdict table_machine(Machine* to, Status* status) {
  return guarded(status, [&] { find_machine(*to); });
}

Verdict table_describe(int32_t device, DeviceInfo* to, Status* status) {
  return guarded(status, [&] {
    describe(device, *to);
    expect(cudaSetDevice(device), "cudaSetDevice");
    to->free_bytes = free_bytes();
  });
}

Verdict table_open(const OpenRequest* request, Context** to, Status* status) {
  return guarded(status, [&] { *to = std::make_unique<Context>(*request).release(); });
}

void table_close(Context* context) { delete context; }

Verdict table_allocate(Context* context, Status* status, int64_t bytes, void** to) {
  return at_work(context, status, [&] { *to = allocate(*context, bytes); }, [] { return "memory of the device"; });
}

void table_release(Context* context, void* block) { release(*context, block); }

Verdict table_upload(Context* context, Status* status, const void* from, void* to, int64_t bytes) {
  return at_work(context, status, [&] { upload(*context, from, to, bytes); }, [] { return "upload"; });
}

Verdict table_download(Context* context, Status* status, const void* from, void* to, int64_t bytes) {
  return at_work(context, status, [&] { download(*context, from, to, bytes); }, [] { return "download"; });
}

Verdict table_copy(Context* context, Status* status, const void* from, void* to, int64_t bytes) {
  return at_work(context, status, [&] { copy(*context, from, to, bytes); }, [] { return "copy"; });
}

Verdict table_zero(Context* context, Status* status, void* to, int64_t bytes) {
  return at_work(context, status, [&] { zero(*context, to, bytes); }, [] { return "zero"; });
}

Verdict table_synchronize(Context* context, Status* status) {
  return at_work(context, status, [&] { synchronize(*context); }, [] { return "the work before"; });
}

Verdict table_free_bytes(Context* context, Status* status, int64_t* bytes) {
  return at_work(context, status, [&] { *bytes = free_bytes(); }, [] { return "memory of the device"; });
}

Verdict table_adopt(Context* context, Status* status, const HostMatrix* matrix, int32_t decoded, const DeviceMatrix** to) {
  return at_work(context, status, [&] { *to = adopt(*context, *matrix, decoded != 0); }, [] { return "a weight"; });
}

void table_drop(Context* context, const DeviceMatrix* matrix) { drop(*context, matrix); }

int64_t table_own_bytes(const Context* context) { return static_cast<int64_t>(context->staging.bytes() + context->workspace.bytes()); }

void table_needs(const Context* context, const PassSize* pass, OwnBytes* to) { *to = needs(*context, *pass); }

}  // namespace

extern "C" __attribute__((visibility("default"))) Verdict fedlora_cuda_v1(Api* api) {
  const bool same = api->size == sizeof(Api) && api->abi == abi_version && api->fingerprint == fingerprint;
  if (!same) {  // nothing but these three is written into a table of another size
    api->size = sizeof(Api);
    api->abi = abi_version;
    api->fingerprint = fingerprint;
    return Verdict::abi;
  }
  api->machine = table_machine;
  api->describe = table_describe;
  api->open = table_open;
  api->close = table_close;
  api->allocate = table_allocate;
  api->release = table_release;
  api->upload = table_upload;
  api->download = table_download;
  api->copy = table_copy;
  api->zero = table_zero;
  api->synchronize = table_synchronize;
  api->free_bytes = table_free_bytes;
  api->adopt = table_adopt;
  api->drop = table_drop;
  api->matrix_bytes = matrix_bytes;
  api->own_bytes = table_own_bytes;
  api->needs = table_needs;
  fill_operators(api->operators);
  return Verdict::ok;
}

}  // namespace fedlora::cuda
