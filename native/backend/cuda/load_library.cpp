#include "backend/cuda/load_library.h"

#if !defined(_WIN32)
#include <dlfcn.h>
#endif

#include <mutex>

#include "base/utf8_path.h"

namespace fedlora::cuda {

namespace {

constexpr const char* cure =
    "Install the package @fedlora/cuda-linux-x64 of this version, build the library (node scripts/build-cuda.mjs, in a checkout with the "
    "CUDA "
    "toolkit), name the file in FEDLORA_CUDA, or use device 'cpu'";

#if defined(_WIN32)
constexpr int mode = 0;  // there is none of Windows: what FEDLORA_CUDA names is none
void* dlopen(const char*, int) { return nullptr; }
void* dlsym(void*, const char*) { return nullptr; }
const char* dlerror() { return "it is a library of Linux"; }
#elif defined(RTLD_NODELETE)
constexpr int mode = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;
#else
constexpr int mode = RTLD_NOW | RTLD_LOCAL;
#endif

bool exists(const std::string& place) {
  std::error_code hidden;
  return std::filesystem::exists(utf8_path(place), hidden);
}

/// The table of the library at `place`. Never closed: its threads and the driver's may outlive every user.
const Api* open_at(const std::string& place) {
  void* handle = dlopen(place.c_str(), mode);
  if (handle == nullptr) fail(Code::E_CUDA_LIBRARY, "the CUDA library cannot be opened: %s", dlerror());
  void* symbol = dlsym(handle, entry_name);
  if (symbol == nullptr) fail(Code::E_CUDA_ABI, "%s is no CUDA library of this fedlora: it has no symbol %s", place.c_str(), entry_name);
  static std::mutex mutex;
  static std::vector<std::pair<void*, std::unique_ptr<Api>>> tables;  // by handle, which is one for a file
  const std::lock_guard lock(mutex);
  for (const auto& [known, table] : tables)
    if (known == handle) return table.get();
  auto table = std::make_unique<Api>();
  table_of(reinterpret_cast<Entry>(symbol), *table, place);
  return tables.emplace_back(handle, std::move(table)).second.get();
}

}  // namespace

const Api* table_of(Entry entry, Api& table, const std::string& place) {
  table = Api{};
  table.size = sizeof(Api);
  table.abi = abi_version;
  table.fingerprint = fingerprint;
  if (entry(&table) != Verdict::ok)
    fail(Code::E_CUDA_ABI, "%s was built for another version of fedlora: ABI %u, contract %016llx, expected ABI %u, contract %016llx",
         place.c_str(), table.abi, static_cast<unsigned long long>(table.fingerprint), abi_version,
         static_cast<unsigned long long>(fingerprint));
  return &table;
}

Library load_library(const std::vector<std::string>& places) {
  Library library;
  std::string tried;
  for (const std::string& place : places) {
    Attempt& attempt = library.attempts.emplace_back(Attempt{place, "not there"});
    tried += "\n  " + place + " (not there)";
    if (!exists(place)) continue;
    try {
      library.api = open_at(place);
      library.place = place;
      attempt.problem.clear();
    } catch (const Error& error) {
      library.code = error.code();
      attempt.problem = error.what();
      library.problem = attempt.problem + "\n" + cure;
    }
    return library;
  }
  library.problem = places.empty() ? std::string("the CUDA library runs on Linux with an x86-64 processor only; use device 'cpu'")
                                   : "the CUDA library is not there. Looked for:" + tried + "\n" + cure;
  return library;
}

Code code_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::abi:
      return Code::E_CUDA_ABI;
    case Verdict::no_driver:
      return Code::E_CUDA_DRIVER;
    case Verdict::old_driver:
      return Code::E_CUDA_DRIVER_OLD;
    case Verdict::no_device:
      return Code::E_CUDA_DEVICE;
    case Verdict::old_device:
      return Code::E_CUDA_CAPABILITY;
    case Verdict::memory:
      return Code::E_MEMORY;
    case Verdict::unsupported:
      return Code::E_UNSUPPORTED;
    default:
      return Code::E_CUDA;
  }
}

void check(Verdict verdict, const Status& status) {
  if (verdict != Verdict::ok) throw Error(code_of(verdict), status.text);
}

}  // namespace fedlora::cuda
