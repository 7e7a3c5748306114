/// How a matrix product reads float operands, whatever the vectors.

struct F32Operand {
  using Element = float;  // of rows
  using Left = float;     // of what `left` reads
  using Value = Vec;
  static constexpr int per_step = 1;
  static Value left(const float* p) { return broadcast(*p); }
  static Value right(const uint32_t* p) { return load_dwords(p); }
  static Value right_rows(const float* row, const float*) { return load(row); }
  static Value right_rows_tail(const float* row, const float*, int64_t n) { return load_tail(row, n); }
  static Vec multiply_add(Value left, Value right, Vec sum) { return fma(left, right, sum); }
};
