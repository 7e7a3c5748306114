/// A backend that hands every operator on to another: the base of the profiler and of the tests' doubles. What is added stands in `enter`
/// and `leave`, which see all operators, or in an override of one that calls `next()`.
#pragma once
#include <memory>

#include "backend/ops.h"

namespace fedlora {

/// Every operator by its name in ops.def.
enum class Op {
#define OP(Result, name, arguments) name,
#include "backend/ops.def"
#undef OP
  count
};
const char* op_name(Op op);

/// What is handed on beside the operators.
class ForwardingBase : public Backend {
 public:
  explicit ForwardingBase(std::unique_ptr<Backend> next) : next_(std::move(next)) {}
  std::string name() const override { return next_->name(); }
  Compute compute() const override { return next_->compute(); }
  int threads() const override { return next_->threads(); }
  const std::shared_ptr<Memory>& memory() const override { return next_->memory(); }
  bool keeps_nested_scales() const override { return next_->keeps_nested_scales(); }
  void expect(const WeightBytes& weights) override { next_->expect(weights); }
  void adopt(Matrix& matrix) override { next_->adopt(matrix); }
  std::string lacks(const Need& need) const override { return next_->lacks(need); }
  OwnBytes needs(const PassSize& pass) const override { return next_->needs(pass); }
  size_t scratch_bytes() const override { return next_->scratch_bytes(); }

 protected:
  Backend& next() { return *next_; }
  /// Before an operator; when this throws, the operator is not called.
  virtual void enter(Op) {}
  /// After an operator that was entered, whether it returned or threw.
  virtual void leave(Op) noexcept {}

  struct Passage {
    Passage(ForwardingBase& owner, Op op) : owner(owner), op(op) { owner.enter(op); }
    ~Passage() { owner.leave(op); }
    ForwardingBase& owner;
    Op op;
  };

 private:
  std::unique_ptr<Backend> next_;
};

// A class for each operator, derived from the class of the one before. Its arguments are read off the signature in ops.def, so that no list
// of them is kept here.
namespace forwarding {
#define OP(Result, name, arguments)                                 \
  template <class Below, class Signature>                           \
  class Signed_##name;                                              \
  template <class Below, class... Arguments>                        \
  class Signed_##name<Below, Result(Arguments...)> : public Below { \
   public:                                                          \
    using Below::Below;                                             \
    Result name(Arguments... values) override {                     \
      const typename Below::Passage passage(*this, Op::name);       \
      return this->next().name(values...);                          \
    }                                                               \
  };                                                                \
  template <class Below>                                            \
  using Forward_##name = Signed_##name<Below, Result arguments>;
#include "backend/ops.def"
#undef OP

template <class Below, template <class> class... Operators>
struct Stack {
  using type = Below;
};
template <class Below, template <class> class First, template <class> class... Rest>
struct Stack<Below, First, Rest...> : Stack<First<Below>, Rest...> {};
}  // namespace forwarding

using Forwarding = forwarding::Stack<ForwardingBase
#define OP(Result, name, arguments) , forwarding::Forward_##name
#include "backend/ops.def"
#undef OP
                                     >::type;

}  // namespace fedlora
