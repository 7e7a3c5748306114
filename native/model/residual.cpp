#include "model/residual.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fedlora {

ResidualMap::ResidualMap(const AdapterMap& adapter, std::vector<int> ranks) : ranks_(std::move(ranks)), slots_(adapter.slots().size()) {
  const std::vector<TensorLayout>& trained = adapter.layout();
  if (ranks_.size() != trained.size() / 2)
    fail(Code::E_SHAPE, "%zu ranks of a residual, expected %zu: one for each adapted layer, in forward order", ranks_.size(),
         trained.size() / 2);
  const auto add = [&](const TensorLayout& beside, Part part, int64_t rows, int64_t columns) {
    std::string name = beside.name;
    const std::string trained = part_name[static_cast<int>(beside.part)];
    name.replace(name.rfind(trained), trained.size(), part_name[static_cast<int>(part)]);
    layout_.push_back({std::move(name), part, rows, columns, size_});
    size_ += rows * columns;
    return layout_.back().offset;
  };
  size_t i = 0;  // among the adapted layers, which slots and layout have in the same order
  for (size_t place = 0; place < slots_.size(); ++place) {
    if (adapter.slots()[place].rank == 0) continue;
    const TensorLayout &A = trained[2 * i], &B = trained[2 * i + 1];
    const int rank = ranks_[i++];
    if (rank < 0 || rank + A.rows > most_rank)
      fail(Code::E_ARGUMENT, "the residual's rank beside %s is %d, expected 0 to %lld: with the trained rank at most %d", A.name.c_str(),
           rank, static_cast<long long>(most_rank - A.rows), most_rank);
    if (rank == 0) continue;
    slots_[place].rank = rank;
    slots_[place].A = add(A, Part::residual_A, rank, A.columns);
    slots_[place].B = add(B, Part::residual_B, B.rows, rank);
  }
}

Residual::Residual(ResidualMap map, std::span<const float> values, std::shared_ptr<Memory> memory) : ResidualMap(std::move(map)) {
  if (static_cast<int64_t>(values.size()) != size())
    fail(Code::E_SHAPE, "%zu values for a residual of %lld", values.size(), static_cast<long long>(size()));
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i])) fail(Code::E_NONFINITE, "value %zu of the residual is not finite", i);
  values_ = Buffer<float>(std::move(memory), values);
}

std::shared_ptr<Adapter> host_copy(const Adapter& adapter) {
  auto copy = std::make_shared<Adapter>(AdapterMap(adapter));
  copy->values.upload(HostView<float>(adapter.values).span());
  if (const std::shared_ptr<const Residual>& residual = adapter.residual())
    copy->set_residual(std::make_shared<Residual>(ResidualMap(*residual), HostView<float>(residual->values()).span()));
  return copy;
}

}  // namespace fedlora
