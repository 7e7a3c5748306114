// Puts a tokenizer together from the text of its tokenizer.json and from what a folder's other files say about it.
#include "base/error.h"
#include "io/json.h"
#include "tokenizer/tokenizer.h"

namespace fedlora::tokenizer {

namespace {

const Json null_json;

/// A top-level section, null when it is absent.
Place section(const Json& file, const char* name) {
  const Json* found = file.find(name);
  return {found == nullptr ? null_json : *found, name};
}

/// Takes every `Prepend` out of a normaliser; whether there was one.
bool remove_prepend(Json& normalizer) {
  const auto is_prepend = [](const Json& part) {
    const Json* type = part.find("type");
    return type != nullptr && type->is(Json::Kind::string) && type->as_string("") == "Prepend";
  };
  if (is_prepend(normalizer)) {
    normalizer = Json();
    return true;
  }
  bool removed = false;
  if (std::vector<Json::Member>* members = normalizer.members())
    for (auto& [key, value] : *members)
      if (std::vector<Json>* parts = key == "normalizers" ? value.elements() : nullptr) {
        removed = std::erase_if(*parts, is_prepend) > 0 || removed;
        for (Json& part : *parts) removed = remove_prepend(part) || removed;
      }
  return removed;
}

void set_member(Json& object, const std::string& key, const Json& value) {
  std::vector<Json::Member>& members = *object.members();
  for (auto& member : members)
    if (member.first == key) {
      member.second = value;
      return;
    }
  members.emplace_back(key, value);
}

std::vector<AddedToken> read_tokens(const Place& list) {
  std::vector<AddedToken> tokens;
  for (const Place& place : list.elements()) tokens.push_back(read_added_token(place));
  return tokens;
}

}  // namespace

/// `changes` may hold, each in its place of tokenizer.json: `sections`, whole sections that stand for those of the file; `model`, fields of
/// its model; `added_tokens`, lists of further tokens, each list added as one, but for those marked `unless_added`; `around`, texts of the
/// tokens that stand before and behind a text, which replaces the post-processor.
Tokenizer::Tokenizer(std::string_view json, std::string_view changes) {
  try {
    Json file = parse_json(json, "tokenizer.json");
    const Json edits = parse_json(changes, "changes");
    if (file.members() == nullptr) fail(Code::E_TOKENIZER, "expected a JSON object");
    if (const Json* sections = edits.find("sections"))
      for (const auto& [key, value] : sections->as_object("sections")) set_member(file, key, value);
    if (const Json* fields = edits.find("model"))
      for (auto& [key, value] : *file.members())
        if (key == "model" && value.members() != nullptr)
          for (const auto& [field, to] : fields->as_object("model")) set_member(value, field, to);
    read(file);
    apply_changes(edits);
    added_.build();
  } catch (const Error& error) {
    if (error.code() != Code::E_FORMAT) throw;
    throw Error(Code::E_TOKENIZER, std::string("not JSON that can be read: ") + error.what());
  }
}

void Tokenizer::read(const Json& file) {
  const Place version = section(file, "version");
  if (!version.is_null() && version.text() != "1.0") version.refuse("the version " + quoted(version.text()) + " is not known: 1.0 is");
  const Place model = section(file, "model");
  if (model.is_null()) model.refuse("the section is missing");
  model_ = make_model(model);
  model_type_ = model.text_or("type", "");

  const Place normalizer = section(file, "normalizer");
  try {
    normalizer_ = make_normalizer(normalizer.json());
    Json continuing = normalizer.json();
    prepends_ = remove_prepend(continuing);
    if (prepends_) continuing_normalizer_ = make_normalizer(continuing);
  } catch (const Error& error) {
    throw Error(Code::E_TOKENIZER,
                std::string(error.what()).starts_with("normalizer") ? error.what() : std::string("normalizer: ") + error.what());
  }
  pre_tokenizer_ = make_pre_tokenizer(section(file, "pre_tokenizer"));
  if (!pre_tokenizer_ || !pre_tokenizer_->ends_at_spaces()) model_->expect_long_words();
  post_ = make_post_processing(section(file, "post_processor"));
  decoder_ = make_decoder(section(file, "decoder"));

  const Place added = section(file, "added_tokens");
  if (!added.is_null()) added_.add(read_tokens(added), *model_, [this](const std::string& text) { return normalized(text); });
}

void Tokenizer::apply_changes(const Json& changes) {
  const Place place(changes, "changes");
  if (place.has("added_tokens"))
    for (const Place& list : place.at("added_tokens").elements()) {
      std::vector<AddedToken> tokens;
      for (const Place& token : list.elements())
        if (!token.flag_or("unless_added", false) || added_.find(token.at("content").text()) == no_token)
          tokens.push_back(read_added_token(token));
      added_.add(tokens, *model_, [this](const std::string& text) { return normalized(text); });
    }
  if (!place.has("around")) return;
  const auto ids = [&](const char* side) {
    std::vector<uint32_t> out;
    for (const Place& token : place.at("around").at(side).elements()) {
      out.push_back(find(token.text()));
      if (out.back() == no_token) fail(Code::E_TOKENIZER, "the token %s is not in the vocabulary", quoted(token.text()).c_str());
    }
    return out;
  };
  post_ = {};
  post_.prefix = ids("prefix"), post_.suffix = ids("suffix");
}

}  // namespace fedlora::tokenizer
