// Batches: rows end to end, labels shifted by one, everything out of range refused with its place.
#include "harness.h"
#include "model/batch.h"

using namespace fedlora;

namespace {
Description small() {
  Description d;
  d.vocabulary = 10;
  d.max_positions = 4;
  return d;
}

using Ids = std::vector<int32_t>;
Batch batch(const Ids& ids, const Ids& labels, const Ids& lengths) { return make_batch(small(), ids, labels, lengths); }

std::string refusal(const Ids& ids, const Ids& labels, const Ids& lengths) {
  try {
    batch(ids, labels, lengths);
  } catch (const Error& error) {
    CHECK(error.code() == Code::E_ARGUMENT);
    return error.what();
  }
  return "";
}

bool equal(const Batch& a, const Batch& b) {
  return a.ids == b.ids && a.positions == b.positions && a.offsets == b.offsets && a.supervised == b.supervised && a.targets == b.targets &&
         a.longest == b.longest;
}
}  // namespace

CASE("a batch by hand: position i of a row predicts its label i + 1") {
  const Batch got = batch({0, 9, 3, 4, 5, 6, 7}, {-100, 9, -100, 0, -100, 8, 7}, {3, 1, 3});
  CHECK((got.ids == Ids{0, 9, 3, 4, 5, 6, 7}));
  CHECK((got.positions == Ids{0, 1, 2, 0, 0, 1, 2}));
  CHECK((got.offsets == std::vector<int64_t>{0, 3, 4, 7}));
  CHECK((got.supervised == Ids{0, 4, 5}));  // the label of a row's first token has nothing that predicts it
  CHECK((got.targets == Ids{9, 8, 7}));
  CHECK(got.longest == 3 && got.tokens() == 7 && got.rows() == 3);
}

CASE("without labels nothing is supervised; the longest row may have every position") {
  const Batch got = batch({1, 2, 3, 4, 5}, {}, {1, 4});
  CHECK(got.supervised.empty() && got.targets.empty());
  CHECK(got.longest == 4);
}

CASE("refusals name row and position") {
  const std::tuple<const char*, Ids, Ids, Ids> wrong[] = {
      {"holds no token", {}, {}, {}},
      {"2 labels for 3 tokens", {1, 2, 3}, {1, 2}, {3}},
      {"row 1 has 0 tokens", {1, 2}, {}, {2, 0}},
      {"row 0 has -1 tokens", {1}, {}, {-1, 2}},
      {"row 0 has 5 tokens, but the model has 4 positions", {1, 2, 3, 4, 5}, {}, {5}},
      {"sum to more than the 3", {1, 2, 3}, {}, {2, 2}},
      {"sum to 2, but 3", {1, 2, 3}, {}, {2}},
      {"token 10 at row 1, position 1", {1, 2, 10}, {}, {1, 2}},
      {"token -1 at row 0, position 0", {-1, 2}, {}, {2}},
      {"label 10 at row 0, position 1", {1, 2}, {1, 10}, {2}},
      {"label -1 at row 1, position 2", {9, 1, 2, 3}, {9, 1, 2, -1}, {1, 3}},
      {"label -99 at row 0, position 1", {1, 2}, {1, -99}, {2}},
  };
  for (const auto& [part, ids, labels, lengths] : wrong) {
    const std::string message = refusal(ids, labels, lengths);
    if (message.find(part) == std::string::npos) harness::report(__FILE__, __LINE__, std::string(part) + " is not in: " + message);
  }
}

CASE("the first and the last token of the vocabulary are tokens and labels") {
  const Batch got = batch({0, 9, 0}, {0, 0, 9}, {3});
  CHECK((got.targets == Ids{0, 9}));
}

CASE("batches end to end are the batch of all their rows") {
  const Batch parts[] = {batch({1, 2, 3}, {-100, 2, 3}, {3}), batch({4}, {}, {1}), batch({5, 6, 7, 8, 9}, {5, -100, 7, 8, 9}, {1, 4})};
  const Batch* pointers[] = {&parts[0], &parts[1], &parts[2]};
  const Batch whole = batch({1, 2, 3, 4, 5, 6, 7, 8, 9}, {-100, 2, 3, -100, 5, -100, 7, 8, 9}, {3, 1, 1, 4});
  CHECK(equal(concatenate(pointers), whole));
  CHECK(equal(concatenate({pointers, 1}), parts[0]));
  CHECK(!equal(concatenate({pointers, 2}), whole));
}

TEST_MAIN()
