/// Numbers that a source makes of a file's tensors: made once, kept until they are released. Not for several threads.
#pragma once
#include <string>
#include <unordered_map>

#include "base/aligned.h"

namespace fedlora {

template <class T>
class MadeTensors {
 public:
  /// make() gives an AlignedBuffer<T>; what it throws leaves nothing behind.
  template <class Make>
  const T* get(const std::string& name, const Make& make) {
    auto found = made_.find(name);
    if (found == made_.end()) found = made_.emplace(name, make()).first;
    return found->second.data();
  }
  void release(const std::string& name) { made_.erase(name); }

 private:
  std::unordered_map<std::string, AlignedBuffer<T>> made_;
};

}  // namespace fedlora
