// BERT's normalizer and pre-tokenizer in one pass over the bytes (Devlin et al., 2019): clean the
// text, put spaces round Chinese characters, strip accents, lower the case, cut at white space, and
// make every punctuation mark a word of its own.
//
// The result is that of the steps one after the other; ASCII goes through one table look-up a byte.
#pragma once

#include <array>

#include "tokenizers/normalizers.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::tokenizers {

class BertWords final : public Step {
 public:
  explicit BertWords(const normalizers::BertOptions& options);
  void apply(Text& text) const override;
  bool apply_to_word(std::string& word) const override;

 private:
  friend class BertWriter;
  // What becomes of an ASCII byte: the byte to write, or one of these.
  static constexpr uint8_t kDrop = 0x80, kGap = 0x81, kMark = 0x82;
  normalizers::BertOptions options_;
  std::array<uint8_t, 128> ascii_{};
};

}  // namespace lowbit::tokenizers
