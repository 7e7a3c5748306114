/// The operators of ops.def as calls of the library's table: a class for each, derived from the class of the one before, as forwarding.h
/// has it, so that no list of arguments is kept here.
#pragma once
#include <memory>

#include "backend/cuda/connection.h"
#include "backend/forwarding.h"

namespace fedlora::cuda {

class Connected : public Backend {
 protected:
  explicit Connected(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}

  std::shared_ptr<Connection> connection_;
};

namespace calling {
template <class Result, class Function, class... Values>
Result call(const Connection& connection, Function function, const Values&... values) {
  if constexpr (std::is_void_v<Result>) {
    connection.call(function, values.wire()...);
  } else {
    Result result{};
    connection.call(function, values.wire()..., &result);
    return result;
  }
}

#define OP(Result, name, arguments)                                                                                   \
  template <class Below, class Signature>                                                                             \
  class Signed_##name;                                                                                                \
  template <class Below, class... Arguments>                                                                          \
  class Signed_##name<Below, Result(Arguments...)> : public Below {                                                   \
   public:                                                                                                            \
    using Below::Below;                                                                                               \
    Result name(Arguments... values) override {                                                                       \
      return call<Result>(*this->connection_, this->connection_->api().operators.name, Packed<Arguments>(values)...); \
    }                                                                                                                 \
  };                                                                                                                  \
  template <class Below>                                                                                              \
  using Call_##name = Signed_##name<Below, Result arguments>;
#include "backend/ops.def"
#undef OP
}  // namespace calling

using ConnectedOperators = forwarding::Stack<Connected
#define OP(Result, name, arguments) , calling::Call_##name
#include "backend/ops.def"
#undef OP
                                             >::type;

}  // namespace fedlora::cuda
