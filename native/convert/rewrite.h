/// What quantising and merging have in common: checkpoints in, a checkpoint out, one tensor at a time.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fedlora {

struct RewriteResult {
  int64_t tensors = 0;  // written
  int64_t changed = 0;  // linear weights quantised or merged
  int64_t bytes = 0;    // of the file
};

/// E_ARGUMENT when `output` is one of `files`, by whatever path.
void refuse_overwrite(const std::vector<std::string>& files, const std::string& output);

int64_t file_bytes(const std::string& path);

}  // namespace fedlora
