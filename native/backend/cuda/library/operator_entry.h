/// From a function that throws to one of the table: FED_OPERATOR(table, rms_norm_forward) puts operators::rms_norm_forward(Context&, …)
/// there. That its arguments are those of ops.def is checked by the type of the table's pointer.
#pragma once
#include "backend/cuda/library/context.h"
#include "backend/cuda/library/describe_call.h"

namespace fedlora::cuda {

/// A string as a template argument.
template <size_t length>
struct Name {
  char text[length];
  constexpr Name(const char (&from)[length]) {
    for (size_t i = 0; i < length; ++i) text[i] = from[i];
  }
};

template <class... Arguments>
struct OperatorEntry {
  template <void (*function)(Context&, Arguments...), Name name>
  static Verdict call(Context* context, Status* status, Arguments... arguments) {
    return at_work(
        context, status, [&] { function(*context, arguments...); },
        [&] { return describe_call(name.text, arguments_of(name.text), {shape_of(arguments)...}); });
  }
};
template <class... Arguments>
OperatorEntry<Arguments...> entry_of(void (*)(Context&, Arguments...));

#define FED_ENTRY(function, name) (&decltype(entry_of(&function))::template call<&function, name>)
#define FED_OPERATOR(table, name) (table).name = FED_ENTRY(operators::name, #name)

}  // namespace fedlora::cuda
