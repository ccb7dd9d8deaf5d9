#include <functional>
#include <map>

#include "bindings/tokenizer_parts.hpp"
#include "tokenizers/bert_words.hpp"
#include "tokenizers/normalizers.hpp"
#include "tokenizers/pre_tokenizers.hpp"

namespace lowbit::bindings {
namespace {

using namespace tokenizers;
using Options = py::dict;
template <class Pointer>
using Makers = std::map<std::string, std::function<Pointer(const Options&)>>;

template <class Pointer>
Pointer make(const char* kind, const Makers<Pointer>& makers, const py::dict& step) {
  const auto name = option<std::string>(step, "type");
  const auto found = makers.find(name);
  check(found != makers.end(), "Tokenizer: there is no ", kind, " ", name);
  return found->second(step);
}

// Calls use(literal) or use(pattern).
template <class Use>
auto with_pattern(const Options& step, Use&& use) {
  const auto pattern = option<py::dict>(step, "pattern");
  if (pattern.contains("String")) return use(option<std::string>(pattern, "String"));
  return use(compile_pattern(option<std::string>(pattern, "Regex")));
}

normalizers::BertOptions bert_options(const Options& o) {
  const bool lowercase = option<bool>(o, "lowercase");
  const py::object strip = o["strip_accents"];
  return {option<bool>(o, "clean_text"), option<bool>(o, "handle_chinese_chars"),
          strip.is_none() ? lowercase : py::cast<bool>(strip), lowercase};
}

pre_tokenizers::Behavior behavior(const Options& o) {
  using pre_tokenizers::Behavior;
  static const std::map<std::string, Behavior> kNames{
      {"Removed", Behavior::removed},
      {"Isolated", Behavior::isolated},
      {"MergedWithPrevious", Behavior::merged_with_previous},
      {"MergedWithNext", Behavior::merged_with_next},
      {"Contiguous", Behavior::contiguous}};
  return kNames.at(option<std::string>(o, "behavior"));
}

pre_tokenizers::StepPointer metaspace(const Options& o) {
  using pre_tokenizers::Prepend;
  const auto scheme = option<std::string>(o, "prepend_scheme");
  const Prepend prepend = scheme == "always"  ? Prepend::always
                          : scheme == "first" ? Prepend::first
                                              : Prepend::never;
  return pre_tokenizers::metaspace(option<std::string>(o, "replacement"), prepend,
                                   option<bool>(o, "split"));
}

template <class Make>
auto without_options(Make make) {
  return [make](const Options&) { return make(); };
}

}  // namespace

std::unique_ptr<const Step> make_normalizer(const py::dict& step) {
  namespace n = normalizers;
  static const Makers<n::StepPointer> kMakers{
      {"BertNormalizer", [](const Options& o) { return n::bert(bert_options(o)); }},
      {"Strip",
       [](const Options& o) {
         return n::strip(option<bool>(o, "strip_left"), option<bool>(o, "strip_right"));
       }},
      {"StripAccents", without_options(n::strip_accents)},
      {"NFC", [](const Options&) { return n::form(NormalForm::nfc); }},
      {"NFD", [](const Options&) { return n::form(NormalForm::nfd); }},
      {"NFKC", [](const Options&) { return n::form(NormalForm::nfkc); }},
      {"NFKD", [](const Options&) { return n::form(NormalForm::nfkd); }},
      {"Lowercase", without_options(n::lowercase)},
      {"Nmt", without_options(n::nmt)},
      {"Precompiled",
       [](const Options& o) { return n::precompiled(option<std::string>(o, "charsmap")); }},
      {"Replace",
       [](const Options& o) {
         return with_pattern(o, [&](auto pattern) {
           return n::replace(std::move(pattern), option<std::string>(o, "content"));
         });
       }},
      {"Prepend", [](const Options& o) { return n::prepend(option<std::string>(o, "prepend")); }},
      {"ByteLevel", without_options(n::byte_level)},
      {"SentencePiece",
       [](const Options& o) {
         return n::sentencepiece(option<std::string>(o, "charsmap"),
                                 option<std::vector<std::string>>(o, "user_defined"),
                                 {option<bool>(o, "add_dummy_prefix"),
                                  option<bool>(o, "remove_extra_whitespaces"),
                                  option<bool>(o, "escape_whitespaces"),
                                  option<bool>(o, "treat_whitespace_as_suffix")});
       }},
  };
  return make("normalizer", kMakers, step);
}

std::unique_ptr<const Step> make_pre_tokenizer(const py::dict& step) {
  namespace p = pre_tokenizers;
  static const Makers<p::StepPointer> kMakers{
      {"BertWords",
       [](const Options& o) { return std::make_unique<BertWords>(bert_options(o)); }},
      {"BertPreTokenizer", without_options(p::bert)},
      {"ByteLevel", without_options(p::byte_level)},
      {"PrefixSpace", without_options(p::prefix_space)},
      {"BeforeRuns",
       [](const Options& o) { return p::before_runs(option<std::string>(o, "mark")); }},
      {"Metaspace", metaspace},
      {"Whitespace", without_options(p::whitespace)},
      {"WhitespaceSplit", without_options(p::whitespace_split)},
      {"UnicodeScripts", without_options(p::unicode_scripts)},
      {"CharDelimiterSplit",
       [](const Options& o) {
         return p::split(option<std::string>(o, "delimiter"), p::Behavior::removed, false);
       }},
      {"Split",
       [](const Options& o) {
         return with_pattern(o, [&](auto pattern) {
           return p::split(std::move(pattern), behavior(o), option<bool>(o, "invert"));
         });
       }},
      {"Punctuation", [](const Options& o) { return p::punctuation(behavior(o)); }},
      {"Digits", [](const Options& o) { return p::digits(option<bool>(o, "individual_digits")); }},
      {"FixedLength",
       [](const Options& o) { return p::fixed_length(option<int64_t>(o, "length")); }},
  };
  return make("pre-tokenizer", kMakers, step);
}

std::unique_ptr<const DecodeStep> make_decode_step(const py::dict& step) {
  namespace d = decoders;
  static const Makers<d::StepPointer> kMakers{
      {"ByteLevel", without_options(d::byte_level)},
      {"WordPiece",
       [](const Options& o) {
         return d::word_piece(option<std::string>(o, "prefix"), option<bool>(o, "cleanup"));
       }},
      {"Metaspace",
       [](const Options& o) {
         return d::metaspace(option<std::string>(o, "replacement"),
                             option<std::string>(o, "prepend_scheme") != "never");
       }},
      {"BPEDecoder", [](const Options& o) { return d::bpe(option<std::string>(o, "suffix")); }},
      {"CTC",
       [](const Options& o) {
         return d::ctc(option<std::string>(o, "pad_token"),
                       option<std::string>(o, "word_delimiter_token"), option<bool>(o, "cleanup"));
       }},
      {"Replace",
       [](const Options& o) {
         return with_pattern(o, [&](auto pattern) {
           return d::replace(std::move(pattern), option<std::string>(o, "content"));
         });
       }},
      {"Fuse", without_options(d::fuse)},
      {"Strip",
       [](const Options& o) {
         return d::strip(option<std::string>(o, "content"), option<int64_t>(o, "start"),
                         option<int64_t>(o, "stop"));
       }},
      {"ByteFallback", [](const Options&) { return d::byte_fallback(d::Broken::all); }},
      {"SentencePieceBytes", [](const Options&) { return d::byte_fallback(d::Broken::some); }},
      {"SentencePieceSpaces",
       [](const Options& o) { return d::sentencepiece_spaces(option<bool>(o, "all")); }},
  };
  return make("decoder", kMakers, step);
}

}  // namespace lowbit::bindings
