#include "backend/forwarding.h"

namespace fedlora {

const char* op_name(Op op) {
  static constexpr const char* names[] = {
#define OP(Result, name, arguments) #name,
#include "backend/ops.def"
#undef OP
  };
  return names[static_cast<size_t>(op)];
}

}  // namespace fedlora
