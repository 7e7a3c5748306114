/// The leaf kernels of one instruction set as a table of pointers. The list is kernel_list.def; how to add one:
///   1. one line in kernels_linear.def or kernels_rows.def,
///   2. its body in generic/<name>.inl over the vector abstraction (simd_<isa>.h), included by <isa>/linear.cpp or <isa>/rows.cpp,
///   3. its check in test/native and its use in an op.
/// Law of the <isa>/ files: every header is included above the target region, so that no function shared with other files is compiled
/// with instructions beyond the ABI floor; kernels use no lambdas and no standard templates, which do not inherit the region's target; a
/// function that takes an array of vectors by reference is FEDLORA_INLINE, as an array whose address is taken lives in memory.
#pragma once
#include <cstdint>
#include <type_traits>

#include "backend/cpu/kernels/linear_types.h"
#include "backend/cpu/kernels/row_arguments.h"
#include "backend/ops.h"
#include "base/cpu_features.h"
#include "base/half.h"
#include "base/inline.h"

namespace fedlora {

/// The kernels over activations of T, float or bf16.
template <class T>
struct TypedKernels {
#define KERNEL(kernel, ...)
#define TYPED(kernel, ...) std::add_pointer_t<__VA_ARGS__> kernel = nullptr;
#include "backend/cpu/kernels/kernel_list.def"
#undef TYPED
#undef KERNEL
};

struct KernelTable : TypedKernels<float>, TypedKernels<bf16> {
  int lanes = 0;          // floats in a vector: panels are padded to a multiple of it
  int group_columns = 0;  // columns of a panel's group
  bool pairs = false;     // bf16 operands are multiplied in pairs
#define KERNEL(kernel, ...) std::add_pointer_t<__VA_ARGS__> kernel = nullptr;
#define TYPED(kernel, ...)
#include "backend/cpu/kernels/kernel_list.def"
#undef TYPED
#undef KERNEL
};
template <class T>
const TypedKernels<T>& of(const KernelTable& table) {
  return table;
}
template <class T>
TypedKernels<T>& of(KernelTable& table) {
  return table;
}

/// The kernels to use at this level: each from the strongest instruction set ≤ `isa` that has it. Does not ask what the machine supports.
const KernelTable& kernel_table(Isa isa);
/// The kernels that instruction set itself defines; null where it has none.
const KernelTable& own_kernel_table(Isa isa);

// Filled by <isa>/linear.cpp and <isa>/rows.cpp.
#define LEVEL(name, needs)              \
  namespace name {                      \
  void fill_linear(KernelTable& table); \
  void fill_rows(KernelTable& table);   \
  }
#include "base/isa_levels.def"
#undef LEVEL

}  // namespace fedlora
