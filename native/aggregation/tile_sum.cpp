// Forms of an exact tile sum, and the moves between them.
#include "aggregation/tile_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace fedlora {

namespace {
constexpr int single_bits = 62, pair_bits = 96;
constexpr int wide_bits = 448 - 1 + wide_unit;  // of a wide sum's magnitude
constexpr int64_t pair_products = 1 << 17;

/// Exponent e with magnitude < 2^e; the magnitude itself was summed in double, hence one more. Magnitudes are normal doubles.
int upper_exponent(double magnitude) { return static_cast<int>(std::bit_cast<uint64_t>(magnitude) >> 52) - 1022 + 1; }

/// 2^exponent, a normal double.
double power_of_two(int exponent) { return std::bit_cast<double>(static_cast<uint64_t>(1023 + exponent) << 52); }

__int128 shifted(__int128 integer, int from_unit, int to_unit) {
  return from_unit >= to_unit ? integer << (from_unit - to_unit) : integer >> (to_unit - from_unit);  // to the right it is exact
}

TileLoad joined(const TileLoad& a, const TileLoad& b) {
  TileLoad both = a;
  if (b.products == 0) return both;
  both.lowest_bit = a.products == 0 ? b.lowest_bit : std::min(a.lowest_bit, b.lowest_bit);
  both.magnitude = a.magnitude + b.magnitude, both.products = a.products + b.products;
  return both;
}
}  // namespace

void TileLoad::include(double bound, int lowest) {
  if (bound == 0) return;
  lowest_bit = products == 0 ? lowest : std::min(lowest_bit, lowest);
  magnitude += bound, ++products;
}

// Half of the spare bits go below the last place, half above the sum, so that later tiles seldom move it.
TileSum::Choice TileSum::choose(const TileLoad& load) {
  const int range = upper_exponent(load.magnitude) - load.lowest_bit;
  const auto unit = [&](int bits) { return std::max(load.lowest_bit - (bits - range) / 2, wide_unit); };
  if (range <= single_bits) return {Form::single, unit(single_bits)};
  if (range <= pair_bits && load.products < pair_products) return {Form::pair, unit(pair_bits)};
  return {Form::wide, wide_unit};
}

bool TileSum::fits(Form form, int unit, const TileLoad& load) {
  if (form == Form::wide) return true;
  if (form == Form::empty || load.lowest_bit < unit) return false;
  const int bits = upper_exponent(load.magnitude) - unit;
  return form == Form::single ? bits <= single_bits : bits <= pair_bits && load.products < pair_products;
}

bool TileSum::View::sound(int64_t count) const {
  if (load.products == 0) return form == Form::empty;
  if (load.products < 0 || form == Form::empty || !std::isnormal(load.magnitude) || load.magnitude < 0) return false;
  const int upper = upper_exponent(load.magnitude);
  if (load.lowest_bit < wide_unit || load.lowest_bit >= upper || upper > wide_bits) return false;
  // A load only grows, so that a sum always has the very form that its load asks for: one that has less would be read as less.
  if (choose(load).form != form) return false;
  if (form == Form::wide) return unit == wide_unit;
  if (unit < wide_unit || !fits(form, unit, load)) return false;
  const __int128 most = __int128{1} << (upper - unit);
  for (int64_t i = 0; i < count; ++i)
    if (const __int128 sum = integer(i); sum > most || sum < -most) return false;
  return true;
}

void TileSum::prepare(const TileLoad& load) {
  if (load.products == 0) return;
  const TileLoad both = joined(load_, load);
  if (!fits(form_, unit_, both)) convert(choose(both));  // the range of a load only grows, so the form never shrinks
  load_ = both;
}

__int128 TileSum::View::integer(int64_t i) const {
  const __int128 above = form == Form::pair ? high[i] : 0;
  return above * (__int128{1} << pair_split) + low[i];
}

void TileSum::store_pair(int64_t i, __int128 sum) {
  const __int128 high = (sum + (__int128{1} << (pair_split - 1))) >> pair_split;
  high_[static_cast<size_t>(i)] = static_cast<int64_t>(high);
  low_[i] = static_cast<int64_t>(sum - high * (__int128{1} << pair_split));
}

void TileSum::convert(Choice choice) {
  const size_t count = static_cast<size_t>(count_);
  if (form_ == Form::empty) std::memset(low_, 0, count * sizeof(int64_t));
  if (choice.form == Form::wide) {
    AlignedBuffer<WideSum> wide(count);
    for (int64_t i = 0; i < count_ && form_ != Form::empty; ++i) wide[static_cast<size_t>(i)].add(integer(i), unit_);
    wide_ = std::move(wide);
    high_ = {};
  } else if (choice.form == Form::pair) {
    const Form before = form_;
    if (before != Form::pair) high_ = AlignedBuffer<int64_t>(count);
    form_ = Form::pair;  // with high words 0 a single is a pair
    for (int64_t i = 0; i < count_ && before != Form::empty; ++i) store_pair(i, shifted(integer(i), unit_, choice.unit));
  } else if (form_ == Form::single) {
    for (int64_t i = 0; i < count_; ++i) low_[i] = static_cast<int64_t>(shifted(low_[i], unit_, choice.unit));
  }
  form_ = choice.form, unit_ = choice.unit;
}

double TileSum::factor(double weight) const { return weight * power_of_two(-unit_); }

void TileSum::add(const float* values, double weight, const SumKernels& kernels) {
  if (form_ == Form::single) return kernels.add_single(low_, values, count_, factor(weight));
  if (form_ == Form::pair) return kernels.add_pair(low_, high_.data(), values, count_, factor(weight));
  for (int64_t i = 0; i < count_ && form_ == Form::wide; ++i) wide_[static_cast<size_t>(i)].add(static_cast<double>(values[i]) * weight);
}

// Every product of a scale and a weight is an integer in units of 2^unit_, since code 1 alone must be representable.
void TileSum::add_codes(const int8_t* codes, const float* scales, double weight, const SumKernels& kernels) {
  constexpr int64_t tile_blocks = update_tile / update_block;
  const int64_t blocks = block_count(count_);
  if (form_ == Form::single) {
    int64_t factors[tile_blocks];
    for (int64_t b = 0; b < blocks; ++b) factors[b] = static_cast<int64_t>(static_cast<double>(scales[b]) * factor(weight));
    return kernels.add_codes(low_, codes, factors, count_);
  }
  alignas(64) float values[update_tile];
  for (int64_t i = 0; i < count_; ++i) values[i] = static_cast<float>(codes[i]) * scales[i / update_block];
  add(values, weight, kernels);
}

TileLoad FloatTiles::load(const TileRange& range) const {
  TileLoad load;
  for (int k = 0; k < count; ++k) load.include(static_cast<double>(range.largest) * weight[k], range.lowest_bit + weight_bit[k]);
  return load;
}

// The kernel adds before anybody knows whether the values fit. What does not fit is wrong, but the same when it is taken back: integers
// wrap around, and conversions that are out of range give one and the same number.
bool TileSum::add_checked(FloatTiles& messages, const SumKernels& kernels) {
  const auto kernel = messages.mantissa_bits == 23 ? kernels.add_checked_f32 : kernels.add_checked_bf16;
  if (form_ != Form::single) return false;
  for (int k = 0; k < messages.count; ++k) messages.tile[k].factor = factor(messages.weight[k]);
  const TileRange range = float_range(kernel(low_, messages.tile, messages.count), messages.mantissa_bits);
  if (std::isfinite(range.largest)) {
    constexpr int double_bits = 53;  // bf16 products are summed in double before they are integers
    const TileLoad load = messages.load(range), both = joined(load_, load);
    const bool exact =
        messages.mantissa_bits == 23 || load.products == 0 || upper_exponent(load.magnitude) - load.lowest_bit <= double_bits;
    if (exact && fits(form_, unit_, both)) {
      load_ = both;
      return true;
    }
  }
  for (int k = 0; k < messages.count; ++k) messages.tile[k].factor = -messages.tile[k].factor;
  kernel(low_, messages.tile, messages.count);
  return false;
}

bool TileSum::add_together(CodeTiles& messages, const TileLoad& load, const SumKernels& kernels) {
  constexpr int64_t tile_blocks = update_tile / update_block, factor_limit = int64_t{1} << 44;
  if (form_ != Form::single) return false;
  if (load.products == 0) return true;
  const int shift = load.lowest_bit - unit_;
  int64_t factors[most_together][tile_blocks];
  for (int k = 0; k < messages.count; ++k) {
    const double step = messages.weight[k] * power_of_two(-load.lowest_bit);
    for (int64_t b = 0; b < tile_blocks; ++b) {
      factors[k][b] = static_cast<int64_t>(static_cast<double>(messages.scales[k][b]) * step);
      if (factors[k][b] >= factor_limit) return false;
    }
    messages.tile[k].factors = factors[k];
  }
  kernels.add_codes_together(low_, messages.tile, messages.count, shift);
  return true;
}

void TileSum::add_entries(const uint32_t* positions, int64_t first, const float* values, int64_t entries, double weight) {
  if (form_ == Form::single) {
    const double unit_weight = factor(weight);
    for (int64_t e = 0; e < entries; ++e) low_[positions[e] - first] += static_cast<int64_t>(static_cast<double>(values[e]) * unit_weight);
    return;
  }
  for (int64_t e = 0; e < entries; ++e) {
    const int64_t i = positions[e] - first;
    const double product = static_cast<double>(values[e]) * weight;
    if (form_ == Form::wide)
      wide_[static_cast<size_t>(i)].add(product);
    else if (form_ == Form::pair)
      store_pair(i, integer(i) + static_cast<__int128>(std::ldexp(product, -unit_)));
  }
}

void TileSum::add(const View& other) {
  if (other.form == Form::empty) return;
  for (int64_t i = 0; i < count_; ++i) {
    const size_t at = static_cast<size_t>(i);
    if (form_ == Form::wide && other.form == Form::wide)
      wide_[at].add(other.wide[i]);
    else if (form_ == Form::wide)
      wide_[at].add(other.integer(i), other.unit);
    else if (form_ == Form::pair)
      store_pair(i, integer(i) + shifted(other.integer(i), other.unit, unit_));
    else
      low_[i] += static_cast<int64_t>(shifted(other.low[i], other.unit, unit_));
  }
}

void TileSum::mean(double total_weight, float* means, const SumKernels& kernels) const {
  if (form_ == Form::single) return kernels.mean_single(low_, count_, std::ldexp(1.0, unit_), total_weight, means);
  for (int64_t i = 0; i < count_; ++i) {
    double sum = 0;
    if (form_ == Form::wide) sum = wide_[static_cast<size_t>(i)].value();
    if (form_ == Form::pair) sum = std::ldexp(static_cast<double>(integer(i)), unit_);
    means[i] = static_cast<float>(sum / total_weight);
  }
}

void TileSum::reset() {
  high_ = {}, wide_ = {};
  form_ = Form::empty, unit_ = 0, load_ = {};
}

}  // namespace fedlora
