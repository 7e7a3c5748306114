/// How the linear layers of a block are numbered. Those that share their input are a group: one call of the backend. A group has room for a
/// fixed number of them, so that place = group.first + index within the group is the same in every family; layer × linears_per_layer +
/// place is a linear layer's number in the model, which slots of adapters, ranks and random draws go by.
#pragma once

namespace fedlora {

struct LinearGroup {
  int index, first, most;
};
inline constexpr LinearGroup attention_in{0, 0, 3}, attention_out{1, 3, 1}, mlp_in{2, 4, 2}, mlp_out{3, 6, 1};
inline constexpr LinearGroup linear_groups[] = {attention_in, attention_out, mlp_in, mlp_out};
inline constexpr int linears_per_layer = 7;

}  // namespace fedlora
