#include "engine/engine.h"

#include <cstdlib>
#include <string_view>

namespace fedlora {

namespace {
bool profile_wanted() {
  const char* value = std::getenv("FEDLORA_PROFILE");
  return value != nullptr && *value != '\0' && std::string_view(value) != "0";
}
}  // namespace

std::shared_ptr<Engine> make_engine(std::shared_ptr<const Weights> weights, std::unique_ptr<Backend> backend) {
  auto engine = std::make_shared<Engine>();
  engine->memory = measure(*weights);
  engine->threads = backend->threads();
  if (profile_wanted()) {
    auto profiled = std::make_unique<Profiled>(std::move(backend));
    engine->profile = profiled.get();
    backend = std::move(profiled);
  }
  engine->transformer = std::make_unique<Transformer>(std::move(weights), std::move(backend));
  return engine;
}

}  // namespace fedlora
