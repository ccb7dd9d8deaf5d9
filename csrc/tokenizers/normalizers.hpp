// Steps that change a text before it is cut: those of tokenizer.json.
#pragma once

#include <memory>
#include <string>

#include "tokenizers/normal_forms.hpp"
#include "tokenizers/pattern.hpp"
#include "tokenizers/sentencepiece_normalizer.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::tokenizers::normalizers {

using StepPointer = std::unique_ptr<const Step>;

StepPointer form(NormalForm form);
StepPointer lowercase();
// Drops white space at the ends.
StepPointer strip(bool left, bool right);
// Drops marks.
StepPointer strip_accents();
// Drops control characters and makes spaces of others, as in the NMT toolkit.
StepPointer nmt();
// Puts a text in front, unless there is nothing to put it before.
StepPointer prepend(std::string content);
// What a text or an expression matches becomes `content`.
StepPointer replace(std::string literal, std::string content);
StepPointer replace(std::shared_ptr<const Pattern> pattern, std::string content);
// Every byte becomes a printable character, as in GPT-2.
StepPointer byte_level();

// As sentencepiece's tables of characters say, grapheme by grapheme.
StepPointer precompiled(std::string_view charsmap);
// All that sentencepiece does to a text before it is split.
StepPointer sentencepiece(std::string_view charsmap, const std::vector<std::string>& user_defined,
                          const SentencePieceOptions& options);

struct BertOptions {
  bool clean_text = true;
  bool chinese_spaces = true;
  bool strip_accents = true;
  bool lowercase = true;
};
StepPointer bert(const BertOptions& options);

}  // namespace lowbit::tokenizers::normalizers
