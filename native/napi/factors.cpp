// Dense and factored algebra of adapters: sums of low-rank products where JavaScript's arrays lie.
#include "factors/factored.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "napi/host.h"

namespace fedlora::seam {

namespace {

using factors::FactoredSum, factors::Leading, factors::Matrix, factors::Values;

constexpr int64_t most_side = 1 << 24, most_elements = 1 << 28;

/// A Float32Array or Float64Array. Its elements are looked at when nothing runs JavaScript any more.
class MatrixArgument {
 public:
  MatrixArgument(Napi::Value value, const char* what) : what_(what) {
    if (value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array)
      wide_.emplace(value, what);
    else
      single_.emplace(value, what);
  }
  int64_t size() const { return static_cast<int64_t>(wide_ ? wide_->span().size() : single_->span().size()); }
  Values values(int64_t count) const {
    if (size() != count)
      fail(Code::E_SHAPE, "%s has %lld values, expected %lld", what_, static_cast<long long>(size()), static_cast<long long>(count));
    if (wide_) return {nullptr, wide_->span().data()};
    return {single_->span().data(), nullptr};
  }

 private:
  const char* what_;
  std::optional<TypedView<float>> single_;
  std::optional<TypedView<double>> wide_;
};

int64_t side(Napi::Value value, const char* what) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : 0;
  if (!(number >= 1 && number <= most_side) || number != static_cast<double>(static_cast<int64_t>(number)))
    fail(Code::E_ARGUMENT, "%s is a whole number from 1 to %lld", what, static_cast<long long>(most_side));
  return static_cast<int64_t>(number);
}

void check_elements(int64_t rows, int64_t cols) {
  if (rows > most_elements / cols)
    fail(Code::E_MEMORY, "a matrix of %lld × %lld is out of reach", static_cast<long long>(rows), static_cast<long long>(cols));
}

/// out, in, terms: the first three arguments of every call about a sum. Runs no JavaScript after the arrays were looked at, but for
/// making the result; they are kept alive by the caller's list.
FactoredSum sum_of(const Napi::CallbackInfo& info) {
  FactoredSum sum{side(info[0], "out"), side(info[1], "in"), {}};
  if (!info[2].IsArray()) fail(Code::E_ARGUMENT, "terms: expected an array");
  const Napi::Array terms = info[2].As<Napi::Array>();
  struct Read {
    MatrixArgument b, a;
    int64_t rank;
    double scale;
    std::optional<MatrixArgument> weights;
  };
  std::vector<Read> read;
  for (uint32_t i = 0; i < terms.Length(); ++i) {
    const Fields term(terms.Get(i), "term");
    std::optional<MatrixArgument> weights;
    if (term.has("weights")) weights.emplace(term.value("weights"), "weights");
    read.push_back({{term.value("B"), "B"}, {term.value("A"), "A"}, term.integer("rank", 1, most_side), term.number("scale"), weights});
  }
  int64_t rank = 0;
  for (const Read& one : read) {
    rank += one.rank;
    check_elements(rank, std::max(sum.out, sum.in));
    factors::Term term{one.b.values(sum.out * one.rank), one.a.values(one.rank * sum.in), one.rank, one.scale};
    if (one.weights) {
      const Values weights = one.weights->values(one.rank);
      for (int64_t r = 0; r < one.rank; ++r) term.weights.push_back(weights[r]);
    }
    sum.terms.push_back(std::move(term));
  }
  return sum;
}

ThreadPool* team(Napi::Env env, const FactoredSum& sum) { return Environment::of(env).team_for(sum.rank() * (sum.out + sum.in) * 8, 0); }

Napi::Float64Array array_of(Napi::Env env, int64_t count, const auto& value_at) {
  Napi::Float64Array array = new_float64(env, static_cast<size_t>(count));
  double* out = array.Data();
  for (int64_t i = 0; i < count; ++i) out[i] = value_at(i);
  return array;
}

Napi::Float64Array array_of(Napi::Env env, const Matrix& matrix) {
  Napi::Float64Array array = new_float64(env, static_cast<size_t>(matrix.rows() * matrix.cols()));
  if (matrix.rows() * matrix.cols() > 0) std::copy(matrix.row(0), matrix.row(0) + matrix.rows() * matrix.cols(), array.Data());
  return array;
}

Napi::Value factors_dense(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const FactoredSum sum = sum_of(info);
    check_elements(sum.out, sum.in);
    return array_of(info.Env(), dense(sum, team(info.Env(), sum)));
  });
}

Napi::Value factors_norm(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const FactoredSum sum = sum_of(info);
    return Napi::Number::New(info.Env(), frobenius(sum, team(info.Env(), sum)));
  });
}

Napi::Value factors_beside(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&] {
    const factors::Beside both = factors::beside(sum_of(info));
    Napi::Object result = Napi::Object::New(env);
    result.Set("B", array_of(env, both.b));
    result.Set("A", array_of(env, both.a));
    return result;
  });
}

Napi::Value factors_leading(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&] {
    const FactoredSum sum = sum_of(info);
    const int64_t rank = side(info[3], "rank");
    const Leading found = leading(sum, rank, team(env, sum));
    Napi::Object result = Napi::Object::New(env);
    result.Set("B", array_of(env, sum.out * rank,
                             [&](int64_t i) { return found.left(i % rank, i / rank) * found.values[static_cast<size_t>(i % rank)]; }));
    result.Set("A", array_of(env, found.right));
    result.Set("norm", found.norm);
    result.Set("rest", found.rest);
    return result;
  });
}

Napi::Value factors_values(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const FactoredSum sum = sum_of(info);
    const std::vector<double> values = factors::singular_values(sum, team(info.Env(), sum));
    return array_of(info.Env(), static_cast<int64_t>(values.size()), [&](int64_t i) { return values[static_cast<size_t>(i)]; });
  });
}

/// firstNonFinite(values): the index of the first value that is no finite number, −1 when all are.
Napi::Value first_non_finite(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const MatrixArgument given(info[0], "values");
    const int64_t count = given.size();
    const int64_t found = given.values(count).visit([&](const auto* x) {
      std::remove_cvref_t<decltype(*x)> none = 0;  // x − x is 0 for finite numbers alone
      for (int64_t i = 0; i < count; ++i) none += std::fabs(x[i] - x[i]);
      if (none == 0) return count;
      return static_cast<int64_t>(std::find_if(x, x + count, [](auto value) { return !std::isfinite(value); }) - x);
    });
    return Napi::Number::New(info.Env(), found == count ? -1.0 : static_cast<double>(found));
  });
}

/// mixMatrices(rows, cols, terms): Σ scale · the leading block of each term's values [its rows, its cols], zeros where it is smaller.
Napi::Value mix_matrices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&] {
    const int64_t rows = side(info[0], "rows"), cols = side(info[1], "cols");
    check_elements(rows, cols);
    if (!info[2].IsArray()) fail(Code::E_ARGUMENT, "terms: expected an array");
    const Napi::Array terms = info[2].As<Napi::Array>();
    struct Read {
      MatrixArgument values;
      int64_t rows, cols;
      double scale;
    };
    std::vector<Read> read;
    for (uint32_t i = 0; i < terms.Length(); ++i) {
      const Fields term(terms.Get(i), "term");
      read.push_back(
          {{term.value("values"), "values"}, term.integer("rows", 1, most_side), term.integer("cols", 1, most_side), term.number("scale")});
    }
    Matrix total(rows, cols);
    for (const Read& one : read) {
      check_elements(one.rows, one.cols);
      const Values values = one.values.values(one.rows * one.cols);
      for (int64_t i = 0; i < std::min(rows, one.rows); ++i)
        for (int64_t j = 0; j < std::min(cols, one.cols); ++j) total(i, j) += one.scale * values[i * one.cols + j];
    }
    return array_of(env, total);
  });
}

/// blockNorm(values, cols, fromRow, toRow, fromCol, toCol): ‖·‖ of the block of rows and columns from … to, the last not counted.
Napi::Value block_norm(const Napi::CallbackInfo& info) {
  return guard(info.Env(), [&] {
    const MatrixArgument given(info[0], "values");
    const int64_t cols = side(info[1], "cols");
    int64_t at[4];
    for (size_t i = 0; i < 4; ++i) at[i] = info[i + 2].IsNumber() ? info[i + 2].As<Napi::Number>().Int64Value() : -1;
    const auto [from_row, to_row, from_col, to_col] = at;
    const int64_t rows = given.size() / cols;
    if (!(0 <= from_row && from_row <= to_row && to_row <= rows && 0 <= from_col && from_col <= to_col && to_col <= cols))
      fail(Code::E_ARGUMENT, "blockNorm: the block lies outside of %lld × %lld", static_cast<long long>(rows),
           static_cast<long long>(cols));
    const Values values = given.values(rows * cols);
    double squares = 0;
    for (int64_t i = from_row; i < to_row; ++i)
      for (int64_t j = from_col; j < to_col; ++j) squares += values[i * cols + j] * values[i * cols + j];
    return Napi::Number::New(info.Env(), std::sqrt(squares));
  });
}

/// multiplyMatrices(a, b, m, k, n, turnA, turnB): [m, n] of a [m, k] and b [k, n], each given as its transpose where it is turned.
Napi::Value multiply_matrices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&] {
    const int64_t m = side(info[2], "m"), k = side(info[3], "k"), n = side(info[4], "n");
    check_elements(m, k), check_elements(k, n), check_elements(m, n);
    const bool turn_a = info[5].ToBoolean(), turn_b = info[6].ToBoolean();
    const auto copy = [](const Values& values, int64_t rows, int64_t cols) {
      Matrix matrix(rows, cols);
      for (int64_t i = 0; i < rows * cols; ++i) matrix.row(0)[i] = values[i];
      return matrix;
    };
    const MatrixArgument left(info[0], "a"), right(info[1], "b");
    const Matrix a = turn_a ? copy(left.values(m * k), k, m) : copy(left.values(m * k), m, k);
    const Matrix b = turn_b ? copy(right.values(k * n), n, k) : copy(right.values(k * n), k, n);
    return array_of(env, product(turn_a ? a.view().transposed() : a.view(), turn_b ? b.view().transposed() : b.view(),
                                 Environment::of(env).team_for(m * n * k / 16, 0)));
  });
}

}  // namespace

void define_factor_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("factorsDense", Napi::Function::New(env, factors_dense, "factorsDense"));
  exports.Set("factorsBeside", Napi::Function::New(env, factors_beside, "factorsBeside"));
  exports.Set("factorsNorm", Napi::Function::New(env, factors_norm, "factorsNorm"));
  exports.Set("factorsLeading", Napi::Function::New(env, factors_leading, "factorsLeading"));
  exports.Set("factorsValues", Napi::Function::New(env, factors_values, "factorsValues"));
  exports.Set("firstNonFinite", Napi::Function::New(env, first_non_finite, "firstNonFinite"));
  exports.Set("mixMatrices", Napi::Function::New(env, mix_matrices, "mixMatrices"));
  exports.Set("blockNorm", Napi::Function::New(env, block_norm, "blockNorm"));
  exports.Set("multiplyMatrices", Napi::Function::New(env, multiply_matrices, "multiplyMatrices"));
}

}  // namespace fedlora::seam
