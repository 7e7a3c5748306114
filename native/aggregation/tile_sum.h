/// The exact weighted sum of one tile of an update.
///
/// Every product value · weight is added without rounding, so the sum is one mathematical number whatever the order and grouping.
/// Only its form adapts, and it grows only:
///   single   sum = low · 2^unit                            while Σ|product| ≤ 2^(unit + 62): bf16, int8, int4, topk; f32 of like size
///   pair     sum = (high · 2^45 + low) · 2^unit            while Σ|product| ≤ 2^(unit + 96) and at most 2^17 products
///   wide     448 bits an element (wide_sum.h)              any finite float32 whatsoever
///                                                        (as many may be taken back)
/// `unit` is at most the exponent of the last place of every product so far; when a product needs a finer one, the sums are shifted,
/// which is exact. Reading rounds the sum to double, to nearest even, in all forms alike.
/// Cost an element: 8, 16 and 56 bytes.
#pragma once
#include <cstdint>

#include "aggregation/kernels.h"
#include "aggregation/wide_sum.h"
#include "base/aligned.h"
#include "compression/update_reader.h"

namespace fedlora {

/// Tiles [first, end).
struct TileRun {
  int64_t first, end;
};

/// What is going to be added to every element of a tile: at most `products` products, together at most `magnitude`, each a multiple
/// of 2^lowest_bit.
struct TileLoad {
  double magnitude = 0;
  int lowest_bit = 0;
  int64_t products = 0;
  void include(double bound, int lowest);
};

/// Whole tiles of up to most_together messages of one codec with their weights.
struct FloatTiles {
  int mantissa_bits = 23;  // of the codec: 23 or 7
  int count = 0;
  FloatTile tile[most_together];
  double weight[most_together];
  int weight_bit[most_together];
  /// What values of this range bring.
  TileLoad load(const TileRange& range) const;
};

struct CodeTiles {
  int count = 0;
  CodeTile tile[most_together];
  double weight[most_together];
  float scales[most_together][update_tile / update_block];
};

class TileSum {
 public:
  /// `low` is the tile's place among the aggregator's words. What they hold counts only once the sum has a form.
  TileSum(int64_t* low, int64_t count) : low_(low), count_(count) {}

  /// Makes the form fit for `load`; the sum does not change. Throws E_MEMORY, and then nothing has changed.
  void prepare(const TileLoad& load);

  /// Adds values[i] · weight to element i. The load was announced. A negative weight takes back what was added before.
  void add(const float* values, double weight, const SumKernels& kernels);
  /// Adds codes[i] · scales[i / 128] · weight to element i.
  void add_codes(const int8_t* codes, const float* scales, double weight, const SumKernels& kernels);
  /// Adds values[e] · weight to element positions[e] − first.
  void add_entries(const uint32_t* positions, int64_t first, const float* values, int64_t entries, double weight);
  /// Makes the form fit when that is `single`; otherwise the tile stays as it is.
  void expect(const TileLoad& load) {
    if (load.products > 0 && choose(load).form == Form::single) prepare(load);
  }
  bool empty() const { return form_ == Form::empty; }
  /// Adds whole tiles of a few messages in one pass that checks them on the way, the sum being `single`. Messages whose products do
  /// not fit, or are not finite: false, and the sum is as it was.
  bool add_checked(FloatTiles& messages, const SumKernels& kernels);
  /// Adds whole tiles of a few int8 messages in one pass; announced by prepare(load). False when they must be added one by one.
  bool add_together(CodeTiles& messages, const TileLoad& load, const SumKernels& kernels);
  /// Adds another tile's sum; prepare(other.load()) came before.
  void add(const TileSum& other) { add(other.view()); }
  TileLoad load() const { return load_; }

  enum class Form : int32_t { empty, single, pair, wide };
  /// A tile's sum wherever it lies: of another aggregator, or in a message of its partial sums (partial_sum.h).
  struct View {
    Form form = Form::empty;
    int unit = 0;
    TileLoad load;
    const int64_t* low = nullptr;   // single, pair
    const int64_t* high = nullptr;  // pair
    const WideSum* wide = nullptr;
    /// In units of 2^unit; not for wide.
    __int128 integer(int64_t i) const;
    /// Whether the form can hold what was announced, and its words keep to it: what is not sound would wrap around, or be shifted by more
    /// than it has bits.
    bool sound(int64_t count) const;
  };
  View view() const { return {form_, unit_, load_, low_, high_.data(), wide_.data()}; }
  void add(const View& other);

  /// Sum / total_weight of every element.
  void mean(double total_weight, float* means, const SumKernels& kernels) const;
  void reset();

 private:
  struct Choice {
    Form form;
    int unit;
  };
  static Choice choose(const TileLoad& load);
  static bool fits(Form form, int unit, const TileLoad& load);
  /// Weight in units of 2^unit_; exact.
  double factor(double weight) const;
  /// The sum in units of 2^unit_; not for wide.
  __int128 integer(int64_t i) const { return view().integer(i); }
  void store_pair(int64_t i, __int128 sum);
  void convert(Choice choice);

  int64_t* low_;
  int64_t count_;
  Form form_ = Form::empty;
  int unit_ = 0;
  TileLoad load_;
  AlignedBuffer<int64_t> high_;
  AlignedBuffer<WideSum> wide_;
};

}  // namespace fedlora
