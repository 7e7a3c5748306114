// Three defects, one by argument, that a sanitizer run must call wrong; scripts/sanitize.mjs fails when one of them passes.
// The volatiles keep the compiler from removing the defect.
#include <cstring>

#include "harness.h"

static const char* defect = "none";
static int* volatile kept = nullptr;

CASE("a program with a defect on demand") {
  if (std::strcmp(defect, "overflow") == 0) {
    std::vector<int> values(3);
    volatile size_t index = values.size();
    volatile int beyond = values.data()[index];
    static_cast<void>(beyond);
  } else if (std::strcmp(defect, "undefined") == 0) {
    volatile int largest = 2147483647;
    volatile int beyond = largest + 1;
    static_cast<void>(beyond);
  } else if (std::strcmp(defect, "leak") == 0) {
    kept = new int[10];
    kept = nullptr;
  }
  CHECK(kept == nullptr);
}

int main(int argc, char** argv) {
  if (argc > 1) defect = argv[1];
  return harness::run(1, argv);
}
