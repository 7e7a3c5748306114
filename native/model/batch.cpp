#include "model/batch.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace fedlora {

Batch make_batch(const Description& description, std::span<const int32_t> ids, std::span<const int32_t> labels,
                 std::span<const int32_t> lengths, std::span<const double> weights) {
  if (ids.empty()) fail(Code::E_ARGUMENT, "the batch holds no token");
  if (!labels.empty() && labels.size() != ids.size())
    fail(Code::E_ARGUMENT, "%zu labels for %zu tokens, expected one each", labels.size(), ids.size());
  if (!weights.empty() && weights.size() != lengths.size())
    fail(Code::E_ARGUMENT, "%zu weights for %zu rows, expected one each", weights.size(), lengths.size());
  Batch batch;
  batch.ids.assign(ids.begin(), ids.end());
  batch.offsets.push_back(0);
  for (size_t row = 0; row < lengths.size(); ++row) {
    const int64_t length = lengths[row], begin = batch.offsets.back();
    if (length <= 0) fail(Code::E_ARGUMENT, "row %zu has %lld tokens, expected at least 1", row, static_cast<long long>(length));
    if (length > description.max_positions)
      fail(Code::E_ARGUMENT, "row %zu has %lld tokens, but the model has %lld positions: cut it (maxLength)", row,
           static_cast<long long>(length), static_cast<long long>(description.max_positions));
    if (begin + length > batch.tokens())
      fail(Code::E_ARGUMENT, "the row lengths sum to more than the %lld tokens given", static_cast<long long>(batch.tokens()));
    const float weight = weights.empty() ? 1.0f : static_cast<float>(weights[row]);
    if (!(weight >= 0) || !std::isfinite(weight))
      fail(Code::E_ARGUMENT, "the weight of row %zu is %g, expected a finite number from 0 on", row, weights[row]);
    for (int64_t i = 0; i < length; ++i) {
      const int32_t id = batch.ids[static_cast<size_t>(begin + i)];
      if (id < 0 || id >= description.vocabulary)
        fail(Code::E_ARGUMENT, "token %d at row %zu, position %lld is outside the vocabulary of %lld", id, row, static_cast<long long>(i),
             static_cast<long long>(description.vocabulary));
      batch.positions.push_back(static_cast<int32_t>(i));
      if (labels.empty() || i + 1 == length) continue;
      const int32_t label = labels[static_cast<size_t>(begin + i + 1)];
      if (label == not_supervised) continue;
      if (label < 0 || label >= description.vocabulary)
        fail(Code::E_ARGUMENT, "label %d at row %zu, position %lld is neither a token nor -100", label, row, static_cast<long long>(i + 1));
      if (weight == 0) continue;
      if (!weights.empty()) batch.weights.push_back(weight);
      batch.supervised.push_back(static_cast<int32_t>(begin + i));
      batch.targets.push_back(label);
    }
    batch.offsets.push_back(begin + length);
    batch.longest = std::max(batch.longest, length);
  }
  if (batch.offsets.back() != batch.tokens())
    fail(Code::E_ARGUMENT, "the row lengths sum to %lld, but %lld tokens were given", static_cast<long long>(batch.offsets.back()),
         static_cast<long long>(batch.tokens()));
  return batch;
}

double Batch::weight() const {
  if (weights.empty()) return static_cast<double>(supervised.size());
  double sum = 0;
  for (float weight : weights) sum += static_cast<double>(weight);
  return sum;
}

Batch concatenate(std::span<const Batch* const> parts) {
  Batch all;
  all.offsets.push_back(0);
  for (const Batch* part : parts) {
    const int64_t begin = all.tokens();
    all.ids.insert(all.ids.end(), part->ids.begin(), part->ids.end());
    all.positions.insert(all.positions.end(), part->positions.begin(), part->positions.end());
    for (size_t row = 1; row < part->offsets.size(); ++row) all.offsets.push_back(begin + part->offsets[row]);
    if (!all.weights.empty() || !part->weights.empty()) {
      all.weights.resize(all.supervised.size(), 1.0f);
      for (size_t i = 0; i < part->supervised.size(); ++i) all.weights.push_back(part->weight(i));
    }
    for (int32_t m : part->supervised) all.supervised.push_back(static_cast<int32_t>(begin) + m);
    all.targets.insert(all.targets.end(), part->targets.begin(), part->targets.end());
    all.longest = std::max(all.longest, part->longest);
  }
  return all;
}

}  // namespace fedlora
