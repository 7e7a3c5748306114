// The CUDA library is found and opened, or refused with its code: absent, unusable, of another version; never passed over.
#include <fstream>

#include "backend/cuda/load_library.h"
#include "engine/open_backend.h"
#include "harness.h"
#include "scratch_folder.h"

using namespace fedlora;

namespace {

cuda::Verdict same_library(cuda::Api* api) {
  return api->size == sizeof(cuda::Api) && api->abi == cuda::abi_version && api->fingerprint == cuda::fingerprint ? cuda::Verdict::ok
                                                                                                                  : cuda::Verdict::abi;
}

cuda::Verdict other_library(cuda::Api* api) {
  api->abi = 7;
  api->fingerprint = 0xabc;
  return cuda::Verdict::abi;
}

bool says(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

CASE("a library of this contract is taken, one of another refused with both numbers") {
  cuda::Api table;
  CHECK(cuda::table_of(same_library, table, "here") == &table);
  try {
    cuda::table_of(other_library, table, "there.so");
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_CUDA_ABI);
    CHECK(says(error.what(), "there.so") && says(error.what(), "ABI 7") && says(error.what(), "0000000000000abc"));
  }
}

CASE("a library that is nowhere: every place is told, and the cure") {
  const cuda::Library library = cuda::load_library({"/nowhere/a.so", "/nowhere/b.so"});
  CHECK(library.api == nullptr && library.code == Code::E_CUDA_LIBRARY);
  CHECK(library.attempts.size() == 2 && library.attempts[0].problem == "not there" && library.attempts[1].place == "/nowhere/b.so");
  CHECK(says(library.problem, "/nowhere/a.so") && says(library.problem, "/nowhere/b.so") && says(library.problem, "FEDLORA_CUDA"));
}

CASE("no place at all: a machine that has no such library") {
  const cuda::Library library = cuda::load_library({});
  CHECK(library.api == nullptr && library.code == Code::E_CUDA_LIBRARY && says(library.problem, "Linux with an x86-64 processor"));
}

CASE("a file that is there and cannot be used ends the search") {
  const ScratchFolder folder;
  const std::string broken = folder / "broken.so";
  std::ofstream(broken) << "no library";
  const cuda::Library library = cuda::load_library({"/nowhere/a.so", broken, "/nowhere/b.so"});
  CHECK(library.api == nullptr && library.code == Code::E_CUDA_LIBRARY && library.attempts.size() == 2);
  CHECK(says(library.attempts[1].problem, "cannot be opened") && says(library.problem, "device 'cpu'"));
}

CASE("each verdict of the library has its code") {
  using cuda::Verdict;
  const std::pair<Verdict, Code> codes[] = {{Verdict::abi, Code::E_CUDA_ABI},
                                            {Verdict::no_driver, Code::E_CUDA_DRIVER},
                                            {Verdict::old_driver, Code::E_CUDA_DRIVER_OLD},
                                            {Verdict::no_device, Code::E_CUDA_DEVICE},
                                            {Verdict::old_device, Code::E_CUDA_CAPABILITY},
                                            {Verdict::memory, Code::E_MEMORY},
                                            {Verdict::unsupported, Code::E_UNSUPPORTED},
                                            {Verdict::failed, Code::E_CUDA}};
  for (const auto& [verdict, code] : codes) CHECK(cuda::code_of(verdict) == code);
  cuda::check(Verdict::ok, {"not read"});
  CHECK_THROWS(cuda::check(Verdict::no_driver, {"none"}), E_CUDA_DRIVER);
}

CASE("a CUDA device that cannot be opened is refused, not replaced") {
  BackendOptions options;
  options.device.cuda = 0;
  options.device.cuda_libraries = {"/nowhere/a.so"};
  CHECK_THROWS(open_backend(options), E_CUDA_LIBRARY);
}

TEST_MAIN()
