#include "tokenizers/patterns/known.hpp"

#include <string>
#include <utility>

#include "tokenizers/patterns/clip.hpp"
#include "tokenizers/patterns/deepseek.hpp"
#include "tokenizers/patterns/family.hpp"
#include "tokenizers/patterns/runs.hpp"

namespace lowbit::tokenizers {

namespace {

constexpr Family kGpt2 = {.contractions = Contractions::kLowercase,
                          .space_only = true,
                          .digits = 0,
                          .newlines = false};
constexpr Family kLlama3 = {};
constexpr Family kCl100k = {.whole_end = true};
constexpr Family kQwen2 = {.digits = 1};
constexpr Family kQwen3_5 = {.marks = true, .digits = 1};
constexpr Family kO200k = {
    .contractions = Contractions::kSuffix, .cased = true, .slashes = true};
constexpr Family kTekken = {
    .contractions = Contractions::kNone, .cased = true, .digits = 1, .slashes = true};
constexpr Family kKimiK2 = {.contractions = Contractions::kSuffix, .cased = true, .han = true};

// Parts that several expressions share.
const std::string kContraction = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";
const std::string kContractionPairs =
    R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]))";
const std::string kContractionBytes = R"('(?i:[sdmt]|ll|ve|re))";
const std::string kSpaces = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
const std::string kSigns = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kSpaces;
const std::string kSlashSigns = R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kSpaces;
const std::string kMarkSigns = R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" + kSpaces;
const std::string kWord = R"(|[^\r\n\p{L}\p{N}]?\p{L}+)";
const std::string kMarkWord = R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+)";
const std::string kThree = R"(|\p{N}{1,3})";
const std::string kSingle = R"(|\p{N})";
const std::string kGpt2Tail = R"( ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
const std::string kClip =
    R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|)"
    R"([\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+)";

// [^\r\n\p{L}\p{N}]?U*W+C?|[^\r\n\p{L}\p{N}]?U+W*C? with what is joined to the classes and behind.
std::string cased_words(const std::string& except, const std::string& suffix) {
  const std::string before = R"([^\r\n\p{L}\p{N}]?)";
  const std::string upper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M})" + except + "]";
  const std::string lower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M})" + except + "]";
  return before + upper + "*" + lower + "+" + suffix + "|" + before + upper + "+" + lower + "*" +
         suffix;
}

template <class P>
std::shared_ptr<const Pattern> make() {
  return std::make_shared<const P>();
}

struct Known {
  std::string expression;
  std::shared_ptr<const Pattern> (*make)();
};

template <Family family>
Known known(std::string expression) {
  return {std::move(expression), make<FamilyPattern<family>>};
}

template <class Rule>
Known known(std::string expression) {
  return {std::move(expression), make<RulePattern<Rule>>};
}

// Possessive repeats split no text otherwise than plain ones do in these expressions.
std::vector<Known> family_expressions() {
  const std::string suffix = kContraction + "?";
  return {
      known<kGpt2>("'s|'t|'re|'ve|'m|'ll|'d|" + kGpt2Tail),
      known<kGpt2>(R"('s|'t|'re|'ve|'m|'ll|'d| ?[\p{L}]+| ?[\p{N}]+| ?[^\s\p{L}\p{N}]+|)"
                   R"(\s+(?!\S)|\s+)"),
      known<kGpt2>("'(?:[sdmt]|ll|ve|re)|" + kGpt2Tail),
      known<kGpt2>(R"('(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|)"
                   R"(\s++$|\s+(?!\S)|\s)"),
      known<kCl100k>(kContractionBytes +
                     R"(|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|)"
                     R"(\s++$|\s*[\r\n]|\s+(?!\S)|\s)"),
      known<kCl100k>(kContractionBytes +
                     R"(|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+|)"
                     R"(\s++$|\s*[\r\n]|\s+(?!\S)|\s)"),
      known<kLlama3>(kContraction + kWord + kThree + kSigns),
      known<kLlama3>(kContractionPairs + kWord + kThree + kSigns),
      known<kLlama3>(kContractionBytes +
                     R"(|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|)"
                     R"(\s*[\r\n]|\s+(?!\S)|\s+)"),
      known<kQwen2>(kContraction + kWord + kSingle + kSigns),
      known<kQwen2>(kContractionPairs + kWord + kSingle + kSigns),
      known<kQwen3_5>(kContraction + kMarkWord + kSingle + kMarkSigns),
      known<kQwen3_5>(kContractionPairs + kMarkWord + kSingle + kMarkSigns),
      known<kO200k>(cased_words("", suffix) + kThree + kSlashSigns),
      known<kTekken>(cased_words("", "") + kSingle + kSlashSigns),
      known<kKimiK2>(R"([\p{Han}]+|)" + cased_words(R"(&&[^\p{Han}])", suffix) + kThree + kSigns),
  };
}

std::vector<Known> other_expressions() {
  return {
      known<ClipRule<false>>(kClip),
      known<ClipRule<true>>("(?i)" + kClip),
      known<ClipRule<true>>("(?i:" + kClip + ")"),
      known<DeepSeekRule>(R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|)"
                          R"([^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)" +
                          kSpaces),
      known<Run<OfClass<kNumber>, 1, 3>>(R"(\p{N}{1,3})"),
      known<Run<OfClass<kNumber>, 1, 1>>(R"(\p{N})"),
      known<Run<OfClass<kNumber>, 1, 0>>(R"(\p{N}+)"),
      known<Run<OfClass<kSpace>, 1, 0>>(R"(\s+)"),
      known<Run<AsciiDigit, 3, 3>>("[0-9][0-9][0-9]"),
      known<Run<ChineseOrKana, 1, 0>>(
          "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"),
      known<Run<Newline, 1, 1>>(R"([\r\n])"),
      known<Run<BloomWord, 1, 0, true>>(
          R"( ?[^(\s|[.,!?)" "\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c" R"(])]+)"),
      known<WordsAndSigns>(R"(\w+|[^\w\s]+)"),
  };
}

std::vector<Known> known_expressions() {
  std::vector<Known> all = family_expressions();
  for (Known& entry : other_expressions()) all.push_back(std::move(entry));
  return all;
}

}  // namespace

std::shared_ptr<const Pattern> known_pattern(std::string_view expression) {
  static const std::vector<Known> all = known_expressions();
  for (const Known& entry : all)
    if (entry.expression == expression) return entry.make();
  return nullptr;
}

std::shared_ptr<const Pattern> compile_pattern(std::string_view expression) {
  if (auto pattern = known_pattern(expression)) return pattern;
  return compile_regex(expression);
}

}  // namespace lowbit::tokenizers
