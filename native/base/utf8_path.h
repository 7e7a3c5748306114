/// Paths are UTF-8 in every string; what the system spells otherwise (UTF-16 on Windows) is made of it here.
#pragma once
#include <filesystem>
#include <string>

namespace fedlora {

inline std::filesystem::path utf8_path(const std::string& path) { return std::u8string(path.begin(), path.end()); }

}  // namespace fedlora
