#include "tokenizer/post_processors.h"

#include "tokenizer/vocabulary.h"

namespace fedlora::tokenizer {

namespace {

uint32_t read_id(const Place& place) { return static_cast<uint32_t>(place.integer(0, largest_id)); }

/// A pair of a token's text and its id.
uint32_t read_pair(const Place& place) {
  const std::vector<Place> pair = place.elements();
  if (pair.size() != 2) place.refuse("expected a token and its id");
  pair[0].text();
  return read_id(pair[1]);
}

class Builder {
 public:
  PostProcessing made;

  void add(const Place& place) {
    const std::string& type = place.type();
    if (type == "Sequence") {
      for (const Place& part : place.at("processors").elements()) add(part);
    } else if (type == "ByteLevel") {
      if (place.at("trim_offsets").flag()) made.trims.push_back({place.at("add_prefix_space").flag()});
    } else if (type == "RobertaProcessing") {
      if (place.at("trim_offsets").flag()) made.trims.push_back({place.at("add_prefix_space").flag()});
      surround(place, {read_pair(place.at("cls"))}, {read_pair(place.at("sep"))});
    } else if (type == "BertProcessing") {
      surround(place, {read_pair(place.at("cls"))}, {read_pair(place.at("sep"))});
    } else if (type == "TemplateProcessing") {
      add_template(place);
    } else {
      place.at("type").refuse("the post-processor " + quoted(type) + " is not supported");
    }
  }

 private:
  void surround(const Place& place, std::vector<uint32_t> prefix, std::vector<uint32_t> suffix) {
    if (surrounded_) place.refuse("a second post-processor that adds special tokens is not supported");
    surrounded_ = true;
    made.prefix = std::move(prefix), made.suffix = std::move(suffix);
  }

  void add_template(const Place& place) {
    const Place specials = place.at("special_tokens");
    std::vector<uint32_t> around[2];
    int side = 0;
    for (const Place& piece : place.at("single").elements()) {
      if (piece.has("Sequence")) {
        const std::string& id = piece.at("Sequence").at("id").text();
        if (id != "A" || side == 1) piece.refuse("a template of a single text must hold the sequence A exactly once");
        side = 1;
      } else if (piece.has("SpecialToken")) {
        const Place name = piece.at("SpecialToken").at("id");
        if (!specials.has(name.text())) name.refuse("the token " + quoted(name.text()) + " is not among special_tokens");
        for (const Place& id : specials.at(name.text()).at("ids").elements()) around[side].push_back(read_id(id));
      } else {
        piece.refuse("expected a Sequence or a SpecialToken");
      }
    }
    if (side == 0) place.at("single").refuse("a template of a single text must hold the sequence A exactly once");
    surround(place, std::move(around[0]), std::move(around[1]));
  }

  bool surrounded_ = false;
};

}  // namespace

PostProcessing make_post_processing(const Place& place) {
  Builder builder;
  if (!place.is_null()) builder.add(place);
  return std::move(builder.made);
}

}  // namespace fedlora::tokenizer
