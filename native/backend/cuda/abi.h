/// The border between the addon and the CUDA library, which another compiler may have built: one C function fills a table of functions over
/// plain data (pointers, fixed-size numbers, structs of these; nothing of the C++ library). No exception crosses it: a function gives a
/// `Verdict` and, where it is not `ok`, leaves a text.
///
/// The functions of operators are read off ops.def: a signature there becomes one here by `Wire`, argument by argument.
#pragma once
#include <cstdint>
#include <type_traits>

#include "backend/ops.h"

namespace fedlora::cuda {

/// Raised with every change of this file; what changes in ops.def or in the structs of ops.h is seen by `fingerprint`.
inline constexpr uint32_t abi_version = 1;

/// What is known of a failure beside its text.
enum class Verdict : int32_t { ok, abi, no_driver, old_driver, no_device, old_device, memory, unsupported, failed };

struct Status {
  char text[256];
};

/// A std::span as plain data.
template <class T>
struct View {
  T* data;
  int64_t size;
  T* begin() const { return data; }
  T* end() const { return data + size; }
  T& operator[](int64_t i) const { return data[i]; }
};

/// One device, its stream, and what is kept on it. Made and known by the library.
struct Context;
/// A frozen matrix on the device: launch/device_matrix.h.
struct DeviceMatrix;

/// A Matrix (quant/matrix.h) in host memory; nested scales come decoded.
struct HostMatrix {
  Format format;
  int32_t block;
  int64_t N, K;
  View<const uint8_t> data;
  View<const float> absmax;
};

struct SegmentView {
  int64_t row_begin, row_end;
  View<const LoraPair> pairs;
};

struct TargetView {
  const DeviceMatrix* W;
  const float* bias;
  Activation y, h;
  int64_t h_stride;
  ConstActivation d_y;
};

// What an argument of ops.def becomes.
template <class T>
struct Wire {
  static_assert(std::is_arithmetic_v<T> || std::is_pointer_v<T> || std::is_enum_v<T>);
  using type = T;
};
template <class T>
struct Wire<const T&> {
  static_assert(std::is_trivially_copyable_v<T> && std::is_standard_layout_v<T>);
  using type = const T*;
};
template <>
struct Wire<const Matrix&> {
  using type = const DeviceMatrix*;
};
template <class T>
struct Wire<std::span<T>> {
  static_assert(std::is_trivially_copyable_v<T>);
  using type = View<T>;
};
template <>
struct Wire<std::span<const Segment>> {
  using type = View<const SegmentView>;
};
template <>
struct Wire<std::span<LinearTarget>> {
  using type = View<const TargetView>;
};
template <>
struct Wire<std::span<const LinearTarget>> {
  using type = View<const TargetView>;
};

template <class Signature>
struct WireFunction;
template <class... Arguments>
struct WireFunction<void(Arguments...)> {
  using type = Verdict (*)(Context*, Status*, typename Wire<Arguments>::type...);
};
/// A result is written where the last argument points.
template <class Result, class... Arguments>
struct WireFunction<Result(Arguments...)> {
  using type = Verdict (*)(Context*, Status*, typename Wire<Arguments>::type..., Result*);
};

/// Every operator of ops.def; null: the library lacks it.
struct Operators {
#define OP(Result, name, arguments) WireFunction<Result arguments>::type name;
#include "backend/ops.def"
#undef OP
};

/// What the library finds on the machine. Versions are CUDA's: 1000 × major + 10 × minor.
struct Machine {
  int32_t driver, runtime;  // driver 0: none
  int32_t devices;
};

struct DeviceInfo {
  char name[256];
  int32_t capability;  // 10 × major + minor
  int32_t multiprocessors;
  int64_t total_bytes, free_bytes;
};

struct OpenRequest {
  int32_t device;
  Compute compute;
};

struct Api {
  uint32_t size, abi;
  uint64_t fingerprint;

  Verdict (*machine)(Machine*, Status*);
  Verdict (*describe)(int32_t device, DeviceInfo*, Status*);

  Verdict (*open)(const OpenRequest*, Context**, Status*);
  /// Gives back everything that was allocated in it.
  void (*close)(Context*);

  // Memory of the device, zeros at first, aligned to 256. Everything is ordered on the context's one stream; upload and download take
  // pageable memory, upload has read `from` when it returns, download waits.
  Verdict (*allocate)(Context*, Status*, int64_t bytes, void** to);
  void (*release)(Context*, void*);
  Verdict (*upload)(Context*, Status*, const void* from, void* to, int64_t bytes);
  Verdict (*download)(Context*, Status*, const void* from, void* to, int64_t bytes);
  Verdict (*copy)(Context*, Status*, const void* from, void* to, int64_t bytes);
  Verdict (*zero)(Context*, Status*, void* to, int64_t bytes);
  Verdict (*synchronize)(Context*, Status*);
  /// Bytes of the device that nobody holds.
  Verdict (*free_bytes)(Context*, Status*, int64_t* bytes);

  /// A matrix in a form that kernels read; `decoded`: codes as bf16 numbers, which saves decoding them in every pass.
  Verdict (*adopt)(Context*, Status*, const HostMatrix*, int32_t decoded, const DeviceMatrix**);
  void (*drop)(Context*, const DeviceMatrix*);
  int64_t (*matrix_bytes)(const DeviceMatrix*);
  /// Bytes that the context holds for itself: staging, workspace.
  int64_t (*own_bytes)(const Context*);
  /// What it will hold while such a pass runs.
  void (*needs)(const Context*, const PassSize*, OwnBytes*);

  Operators operators;
};

namespace abi {
constexpr uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 0x100000001b3; }
constexpr uint64_t mix(uint64_t hash, const char* text) {
  for (; *text != 0; ++text) hash = mix(hash, static_cast<uint64_t>(*text));
  return hash;
}
/// FNV-1a of the text of ops.def and of the sizes of what crosses: a library that was built from another contract differs here.
constexpr uint64_t fingerprint() {
  uint64_t hash = 0xcbf29ce484222325;
#define OP(Result, name, arguments) hash = mix(hash, #Result " " #name #arguments);
#include "backend/ops.def"
#undef OP
  for (const uint64_t size : {sizeof(HostMatrix), sizeof(SegmentView), sizeof(TargetView), sizeof(LoraPair), sizeof(AttentionShape),
                              sizeof(LogitShape), sizeof(AdamWStep), sizeof(PassSize), sizeof(OwnBytes), sizeof(Api)})
    hash = mix(hash, size);
  return hash;
}
}  // namespace abi
inline constexpr uint64_t fingerprint = abi::fingerprint();

/// The symbol that the library exports. `api` comes with size, abi and fingerprint of the caller; the library compares them with its own,
/// fills the table and gives `ok`, or writes its own three and gives `abi`.
using Entry = Verdict (*)(Api* api);
inline constexpr const char* entry_name = "fedlora_cuda_v1";

}  // namespace fedlora::cuda
