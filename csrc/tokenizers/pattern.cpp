#include "tokenizers/pattern.hpp"

#include <string>

#include "core/error.hpp"
#include "tokenizers/word_scanner.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr Grammar kGpt2{};
constexpr Grammar kR50k{.last_run_whole = true};
constexpr Grammar kCl100k{.contractions = Contractions::any_case, .prefix = true, .digits = 3,
                          .tail = Tail::newlines, .newlines = true, .last_run_whole = true};
constexpr Grammar kLlama3{.contractions = Contractions::any_case, .prefix = true, .digits = 3,
                          .tail = Tail::newlines, .newlines = true};
constexpr Grammar kQwen2{.contractions = Contractions::any_case, .prefix = true, .digits = 1,
                         .tail = Tail::newlines, .newlines = true};
constexpr Grammar kQwen35{.contractions = Contractions::any_case,
                          .words = Words::letters_and_marks, .prefix = true, .digits = 1,
                          .tail = Tail::newlines, .newlines = true};
constexpr Grammar kO200k{.contractions = Contractions::behind_words, .words = Words::cased,
                         .prefix = true, .digits = 3,
                         .tail = Tail::newlines_and_slashes, .newlines = true};
constexpr Grammar kTekken{.contractions = Contractions::none, .words = Words::cased,
                          .prefix = true, .digits = 1,
                         .tail = Tail::newlines_and_slashes, .newlines = true};
constexpr Grammar kKimi{.contractions = Contractions::behind_words,
                        .words = Words::cased_without_han, .prefix = true, .digits = 3,
                        .tail = Tail::newlines, .newlines = true};

// Expressions are compared without what makes no difference here: possessive marks, brackets round
// a single class, and \z for the end.
std::string plain(std::string_view expression) {
  std::string text(expression);
  const auto all = [&](std::string_view from, std::string_view to) {
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
  };
  all("++", "+"), all("?+", "?"), all("*+", "*");
  all("[\\p{L}]", "\\p{L}"), all("[\\p{N}]", "\\p{N}"), all("[\\p{Han}]", "\\p{Han}");
  return text;
}

template <Grammar grammar>
std::shared_ptr<const Pattern> scanner() {
  return std::make_shared<WordScanner<grammar>>();
}

struct Known {
  std::string_view expression;
  std::shared_ptr<const Pattern> (*make)();
};

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define UPPER_NO_HAN "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LOWER_NO_HAN "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define NO_LETTER "[^\\r\\n\\p{L}\\p{N}]?"

const Known kKnown[] = {
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     scanner<kGpt2>},
    {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+$|\\s+(?!\\S)|\\s",
     scanner<kR50k>},
    {"'(?i:[sdmt]|ll|ve|re)|" NO_LETTER "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
     "|\\s+$|\\s*[\\r\\n]|\\s+(?!\\S)|\\s",
     scanner<kCl100k>},
    {CONTRACTION "|" NO_LETTER "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
     scanner<kLlama3>},
    {CONTRACTION "|" NO_LETTER "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
     scanner<kQwen2>},
    {CONTRACTION "|" NO_LETTER
     "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES,
     scanner<kQwen35>},
    {NO_LETTER UPPER "*" LOWER "+" CONTRACTION "?|" NO_LETTER UPPER "+" LOWER "*" CONTRACTION
     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES,
     scanner<kO200k>},
    {NO_LETTER UPPER "*" LOWER "+|" NO_LETTER UPPER "+" LOWER
     "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES,
     scanner<kTekken>},
    {"\\p{Han}+|" NO_LETTER UPPER_NO_HAN "*" LOWER_NO_HAN "+" CONTRACTION "?|" NO_LETTER
     UPPER_NO_HAN "+" LOWER_NO_HAN "*" CONTRACTION
     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
     scanner<kKimi>},
};

// (?m). : every code point.
class EveryPoint final : public Pattern {
 public:
  void find(std::string_view text, std::vector<Span>& matches) const override {
    for (size_t i = 0; i < text.size();) {
      const auto begin = static_cast<uint32_t>(i);
      next_point(text, i);
      matches.push_back({begin, static_cast<uint32_t>(i)});
    }
  }
};

}  // namespace

std::shared_ptr<const Pattern> compile_pattern(std::string_view expression) {
  const std::string text = plain(expression);
  for (const Known& known : kKnown)
    if (text == plain(known.expression)) return known.make();
  if (expression == "(?m).") return std::make_shared<EveryPoint>();
  throw ArgumentError(message("Tokenizer: the regular expression ", expression,
                              " is not supported yet; those of GPT-2, cl100k, o200k, Llama 3, Qwen "
                              "and Kimi are"));
}

}  // namespace lowbit::tokenizers
