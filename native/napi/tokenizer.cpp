// NativeTokenizer: a tokenizer.json that was read; texts to ids and back, at once or, many of them, on threads of its own.
#include <algorithm>
#include <thread>

#include "model/transformer.h"
#include "napi/host.h"
#include "tokenizer/offsets.h"
#include "tokenizer/tokenizer.h"

namespace fedlora::seam {

namespace {

using tokenizer::EncodeOptions;
using tokenizer::Encoding;
using tokenizer::Utf16Offsets;
using tokenizer::Work;

/// A tokenizer and the thread that it reads its file and encodes many texts on.
struct TokenizerHost : std::enable_shared_from_this<TokenizerHost> {
  explicit TokenizerHost(Napi::Env env) : queue(env) {}
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  size_t bytes = 0;  // of its file
  JobQueue queue;    // last member: stopped before the tokenizer goes

  const std::shared_ptr<const tokenizer::Tokenizer>& alive() const {
    if (!tokenizer) fail(Code::E_DISPOSED, "the tokenizer was disposed: load it again");
    return tokenizer;
  }
};

Napi::Int32Array new_int32(Napi::Env env, size_t length) {
  napi_value buffer, array;
  void* data;
  // V8 ends the process when it cannot hold an array; a refusal comes before that.
  if (length > (size_t{1} << 30) || napi_create_arraybuffer(env, length * sizeof(int32_t), &data, &buffer) != napi_ok ||
      napi_create_typedarray(env, napi_int32_array, length, buffer, 0, &array) != napi_ok)
    fail(Code::E_MEMORY, "an array of %zu ids does not fit", length);
  return {env, array};
}

std::string utf8(Napi::Value value, const char* what) {
  if (!value.IsString()) fail(Code::E_ARGUMENT, "%s: expected a string", what);
  return value.As<Napi::String>().Utf8Value();
}

EncodeOptions decode_options(Napi::Value value) {
  const Fields fields(value, "options");
  return {fields.boolean("specialTokens"), fields.boolean("offsets"), fields.boolean("continues")};
}

/// Encodings one after the other as JavaScript holds them; offsets are UTF-16 units of each text.
struct Encodings {
  std::vector<std::string> texts;
  std::vector<Encoding> each;

  Napi::Object to_js(Napi::Env env, bool offsets) const {
    size_t total = 0;
    for (const Encoding& one : each) total += one.ids.size();
    Napi::Object object = Napi::Object::New(env);
    const auto fill = [&](const char* name, size_t length, auto value_of) {
      Napi::Int32Array array = new_int32(env, length);
      value_of(array.Data());
      object.Set(name, array);
    };
    fill("ids", total, [&](int32_t* out) {
      for (const Encoding& one : each) out = std::copy(one.ids.begin(), one.ids.end(), out);
    });
    fill("starts", each.size() + 1, [&](int32_t* out) {
      *out = 0;
      for (const Encoding& one : each) out[1] = *out + static_cast<int32_t>(one.ids.size()), ++out;
    });
    if (!offsets) return object;
    for (const bool ends : {false, true})
      fill(ends ? "ends" : "begins", total, [&](int32_t* out) {
        for (size_t i = 0; i < each.size(); ++i) {
          const Utf16Offsets units(texts[i]);
          for (const tokenizer::Span span : each[i].spans) *out++ = static_cast<int32_t>(units(ends ? span.end : span.begin));
        }
      });
    return object;
  }
};

/// Encodes every text, several at a time. The failure of the first text that fails is thrown.
void encode_all(const tokenizer::Tokenizer& tokenizer, const EncodeOptions& options, int threads, const std::atomic<bool>& cancel,
                Encodings& all) {
  size_t bytes = 0;
  for (const std::string& text : all.texts) bytes += text.size();
  all.each.resize(all.texts.size());
  // A thread for every 64 KiB: waking one costs more than a short text.
  const auto useful = static_cast<int>(std::min<size_t>({all.texts.size(), 1 + bytes / 65536, 64}));
  ThreadPool pool(std::clamp(useful, 1, threads));
  std::vector<Work> works(static_cast<size_t>(pool.threads()));
  std::vector<std::optional<Error>> failures(all.texts.size());
  std::atomic<bool> stopped{false};
  pool.run(static_cast<int64_t>(all.texts.size()), [&](int64_t index, int member) {
    Work& work = works[static_cast<size_t>(member)];
    const auto at = static_cast<size_t>(index);
    work.cancel = &cancel;
    try {
      tokenizer.encode(all.texts[at], options, work, all.each[at]);
    } catch (const Error& error) {
      failures[at] = Error(error.code(), format_text("text %zu: %s", at, error.what()));
    } catch (const tokenizer::Stopped&) {
      stopped = true;
    } catch (const std::bad_alloc&) {
      failures[at] = Error(Code::E_MEMORY, "memory is exhausted");
    }
  });
  if (stopped || cancel) throw Cancelled{};
  for (const std::optional<Error>& failure : failures)
    if (failure) throw *failure;
}

class TokenizerObject : public Napi::ObjectWrap<TokenizerObject> {
 public:
  explicit TokenizerObject(const Napi::CallbackInfo& info)
      : ObjectWrap(info), host_(constructed_with<std::shared_ptr<TokenizerHost>>(info)), memory_(info.Env()) {
    info.This().As<Napi::Object>().TypeTag(&tokenizer_tag);
    memory_.set(host_->bytes * 2);
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "NativeTokenizer",
                       {accessor<TokenizerObject, &TokenizerObject::description, tokenizer_tag>("description"),
                        InstanceMethod<&TokenizerObject::encode>("encode"), InstanceMethod<&TokenizerObject::encode_many>("encodeMany"),
                        InstanceMethod<&TokenizerObject::decode>("decode"), InstanceMethod<&TokenizerObject::token_id>("tokenId"),
                        InstanceMethod<&TokenizerObject::dispose>("dispose")});
  }

 private:
  Napi::Value description(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const tokenizer::Tokenizer& tokenizer = *host_->alive();
      const auto list = [&](const std::vector<uint32_t>& ids) {
        Napi::Array array = Napi::Array::New(env, ids.size());
        for (uint32_t i = 0; i < ids.size(); ++i) array.Set(i, ids[i]);
        return array;
      };
      Napi::Object object = Napi::Object::New(env);
      object.Set("model", tokenizer.model_type());
      object.Set("vocabularySize", tokenizer.end());
      object.Set("specialTokens", list(tokenizer.special_tokens()));
      object.Set("prefix", list(tokenizer.prefix()));
      object.Set("suffix", list(tokenizer.suffix()));
      return object;
    });
  }

  Napi::Value encode(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const EncodeOptions options = decode_options(info[1]);
      Encodings one;
      one.texts.push_back(utf8(info[0], "text"));
      one.each.resize(1);
      host_->alive()->encode(one.texts[0], options, work_, one.each[0]);
      return one.to_js(env, options.spans);
    });
  }

  Napi::Value encode_many(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      if (!info[0].IsArray()) fail(Code::E_ARGUMENT, "texts: expected a list of strings");
      const EncodeOptions options = decode_options(info[1]);
      const auto threads = static_cast<int>(Fields(info[1], "options").integer("threads", 0, 1024));
      const Napi::Array list = info[0].As<Napi::Array>();
      auto all = std::make_shared<Encodings>();
      for (uint32_t i = 0; i < list.Length(); ++i) {
        Napi::HandleScope scope(env);
        all->texts.push_back(utf8(list.Get(i), "texts"));
      }
      std::shared_ptr<const tokenizer::Tokenizer> tokenizer = host_->alive();
      const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
      return run_job(
          env, host_->queue,
          [tokenizer, all, options, most = threads == 0 ? cores : std::min(threads, cores)](const std::atomic<bool>& cancel,
                                                                                            PendingPromise&) {
            encode_all(*tokenizer, options, most, cancel, *all);
            return all;
          },
          [options](Napi::Env env, std::shared_ptr<Encodings>& all) { return all->to_js(env, options.spans); }, nullptr, [host = host_] {});
    });
  }

  Napi::Value decode(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      if (!info[1].IsBoolean()) fail(Code::E_ARGUMENT, "decode: expected ids and whether special tokens are left out");
      const std::vector<int32_t> ids = copy_int32(info[0], "ids");
      const std::vector<uint32_t> unsigned_ids(ids.begin(), ids.end());
      return Napi::String::New(env, host_->alive()->decode(unsigned_ids, info[1].As<Napi::Boolean>()));
    });
  }

  /// −1 when there is no such token.
  Napi::Value token_id(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guard(env, [&]() -> Napi::Value {
      const uint32_t id = host_->alive()->find(utf8(info[0], "token"));
      return Napi::Number::New(env, id == tokenizer::no_token ? -1 : static_cast<double>(id));
    });
  }

  void dispose(const Napi::CallbackInfo& info) {
    guard(info.Env(), [&] {
      host_->queue.stop();
      host_->tokenizer.reset();
      memory_.set(0);
    });
  }

  std::shared_ptr<TokenizerHost> host_;
  ExternalMemory memory_;
  Work work_;  // of the JavaScript thread
};

/// openTokenizer(file: Uint8Array, changes: string): reads on the tokenizer's own thread.
Napi::Value open_tokenizer(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guard(env, [&]() -> Napi::Value {
    std::vector<uint8_t> file = copy_uint8(info[0], "file");
    std::string changes = utf8(info[1], "changes");
    auto host = std::make_shared<TokenizerHost>(env);
    host->bytes = file.size();
    TokenizerHost* key = host.get();  // the job may not own its queue; `settled` keeps the host until after `convert`
    return run_job(
        env, host->queue,
        [file = std::move(file), changes = std::move(changes)](const std::atomic<bool>&, PendingPromise&) {
          const std::string_view text(reinterpret_cast<const char*>(file.data()), file.size());
          return std::shared_ptr<const tokenizer::Tokenizer>(std::make_shared<tokenizer::Tokenizer>(text, changes));
        },
        [key](Napi::Env env, std::shared_ptr<const tokenizer::Tokenizer>& made) -> Napi::Value {
          key->tokenizer = made;
          return construct(env, Environment::of(env).tokenizer, key->shared_from_this());
        },
        nullptr, [host] {});
  });
}

}  // namespace

Napi::Function define_tokenizer(Napi::Env env) { return TokenizerObject::define(env); }

void define_tokenizer_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("openTokenizer", Napi::Function::New(env, open_tokenizer, "openTokenizer"));
}

}  // namespace fedlora::seam
