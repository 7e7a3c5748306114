/// "Did you mean …?" for names of tensors.
#pragma once
#include <string>
#include <vector>

namespace fedlora {

/// The candidate with the fewest single-character edits to `wanted` (the first of several); empty when there is none.
std::string closest_name(const std::string& wanted, const std::vector<std::string>& candidates);

}  // namespace fedlora
