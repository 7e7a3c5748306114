#include "io/safetensors.h"

#include "base/error.h"
#include "io/closest_name.h"

namespace fedlora {

Checkpoint::Checkpoint(const std::vector<std::string>& paths) {
  if (paths.empty()) fail(Code::E_ARGUMENT, "a checkpoint of no files was opened. Expected at least one path.");
  for (size_t file = 0; file < paths.size(); ++file) {
    files_.emplace_back(paths[file]);
    SafetensorsHeader header = parse_safetensors_header(files_[file].data(), files_[file].size(), paths[file]);
    metadata_.push_back(std::move(header.metadata));
    for (SafetensorsEntry& entry : header.entries) {
      const std::string name = entry.spec.name;
      const auto [where, fresh] = place_.try_emplace(name, Place{file, std::move(entry)});
      if (!fresh)
        fail(Code::E_FORMAT, "tensor \"%s\" is in both %s and %s. Expected each tensor in one shard; is a file listed twice or left over?",
             name.c_str(), paths[where->second.file].c_str(), paths[file].c_str());
      names_.push_back(name);
    }
  }
}

const Checkpoint::Place& Checkpoint::find(const std::string& name) const {
  const auto found = place_.find(name);
  if (found != place_.end()) return found->second;
  const std::string closest = closest_name(name, names_), more = files_.size() > 1 ? format_text(" and %zu more", files_.size() - 1) : "";
  fail(Code::E_MISSING, "tensor \"%s\" is not in %s%s%s.", name.c_str(), path().c_str(), more.c_str(),
       closest.empty() ? ", which holds none" : format_text("; the closest name there is \"%s\"", closest.c_str()).c_str());
}

TensorView Checkpoint::get(const std::string& name) const {
  const Place& place = find(name);
  TensorView view;
  view.dtype = place.entry.spec.dtype;
  view.shape = place.entry.spec.shape;
  view.data = files_[place.file].data() + place.entry.begin;
  view.bytes = place.entry.bytes;
  return view;
}

void Checkpoint::release(const std::string& name) const {
  const Place& place = find(name);
  files_[place.file].release(place.entry.begin, place.entry.bytes);
}

}  // namespace fedlora
