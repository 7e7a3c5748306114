/// Finds and opens the CUDA library at run time: nothing of fedlora is linked to it or to a driver, so that the addon runs everywhere.
#pragma once
#include <string>
#include <vector>

#include "backend/cuda/abi.h"
#include "base/error.h"

namespace fedlora::cuda {

/// A place that was tried; `problem` is empty when the library was opened there.
struct Attempt {
  std::string place, problem;
};

struct Library {
  const Api* api = nullptr;  // null: not opened
  std::string place;
  std::vector<Attempt> attempts;
  // Why it was not opened, with the cure.
  Code code = Code::E_CUDA_LIBRARY;
  std::string problem;
};

/// Opens the library at the first of `places` where there is a file. One that is there and cannot be used ends the search: what was found
/// is told, not passed over. Once opened it stays mapped, whatever becomes of its users.
Library load_library(const std::vector<std::string>& places);

/// The table of a library that is linked in (tests) or opened. E_CUDA_ABI when it was built from another contract.
const Api* table_of(Entry entry, Api& table, const std::string& place);

/// The code for what the library says.
Code code_of(Verdict verdict);

/// Throws what a function of the table said.
void check(Verdict verdict, const Status& status);

}  // namespace fedlora::cuda
