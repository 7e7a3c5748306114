#include "tokenizer/model.h"

#include "base/error.h"

namespace fedlora::tokenizer {

void read_vocabulary(const Place& vocab, Vocabulary& out) {
  if (!vocab.is(Json::Kind::object)) vocab.refuse("expected an object of tokens and their ids");
  const std::vector<Json::Member>& members = vocab.json().as_object("");
  size_t bytes = 0;
  for (const auto& [text, id] : members) bytes += text.size();
  out.reserve(members.size(), bytes);
  for (const auto& [text, id] : members) {
    const auto place = [&] { return Place(id, vocab.path() + "." + quoted(text)); };
    if (text.size() > longest_token) place().refuse("the token is longer than 65536 bytes");
    const auto number = id.is_integer() ? id.as_int64("") : -1;
    if (number < 0 || number > largest_id) place().integer(0, largest_id);
    if (!out.add(text, static_cast<uint32_t>(number)))
      place().refuse("the id " + std::to_string(number) + " belongs to " + quoted(out.text(static_cast<uint32_t>(number))) + " already");
  }
}

std::unique_ptr<Model> make_model(const Place& model) {
  if (!model.is(Json::Kind::object)) model.refuse("expected an object");
  // Files of the first versions do not say the type: the fields tell.
  const std::string type = model.has("type")                       ? model.type()
                           : model.has("merges")                   ? "BPE"
                           : model.has("max_input_chars_per_word") ? "WordPiece"
                           : model.has("unk_token")                ? "WordLevel"
                                                                   : "Unigram";
  if (type == "BPE") return make_bpe(model);
  if (type == "Unigram") return make_unigram(model);
  if (type == "WordPiece") return make_word_piece(model);
  if (type == "WordLevel") return make_word_level(model);
  model.at("type").refuse("the model " + quoted(type) + " is not supported: BPE, Unigram, WordPiece and WordLevel are");
}

}  // namespace fedlora::tokenizer
