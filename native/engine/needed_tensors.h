/// The tensors that a description asks of a checkpoint.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "model/description.h"

namespace fedlora {

/// Names, which end in ".weight" or ".bias", and shapes.
struct NeededTensors {
  using List = std::vector<std::pair<std::string, std::vector<int64_t>>>;
  List plain;
  List linears;  // [N, K] unless bitsandbytes stores them, flat
};

/// With a tied head, the embedding stands for both.
NeededTensors needed_tensors(const Description& description);

}  // namespace fedlora
