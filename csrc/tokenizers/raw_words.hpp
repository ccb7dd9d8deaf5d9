// Words of a text as its bytes stand there, so that one met before needs neither steps nor model.
//
// What the steps and the model make of a text has to be what they make of its words, one after the
// other. That is so for BERT's steps at white space and at punctuation marks, and at white space
// for steps that look at characters or at clusters of them, when the text is cut there later on.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/byte_masks.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/pattern.hpp"
#include "tokenizers/text.hpp"
#include "tokenizers/word_cache.hpp"

namespace lowbit::tokenizers {

// Where words end: in front of ASCII's white space, which belongs to none of them; or there and
// round ASCII's punctuation marks, each of which is a word. `sentencepiece` is white space too, for
// its normalizer and unigram model alone, whose spelling of a word may depend on those before.
enum class RawCut { nowhere, spaces, punctuation, sentencepiece };

class Unigram;
struct RawScratch;

class RawWords final : public Model {
 public:
  using Steps = std::vector<std::unique_ptr<const Step>>;
  // All of them outlive it. Null where texts cannot be cut.
  static std::shared_ptr<const RawWords> make(RawCut cut, const Steps& normalizers,
                                              const Steps& pre_tokenizers, const Model& model);

  // Appends the ids of a text. The cache is that of `serial`.
  void encode_text(std::string_view text, WordCache& cache, IdBuffer& ids) const;
  size_t count_text(std::string_view text, WordCache& cache) const;

  // The tokens of a word of a text that no step has seen. Their places are not those in the word.
  void encode(std::string_view word, std::vector<Piece>& pieces) const override;
  void encode_ids(std::string_view word, IdBuffer& ids) const override;

  // Tells caches of such words from others.
  uint64_t serial() const { return serial_; }

 private:
  friend class RawCutter;
  friend class RunningWords;
  enum class Kind : uint8_t { part, gap, mark };

  RawWords(RawCut cut, const Steps& normalizers, const Steps& pre_tokenizers, const Model& model);
  bool separates(char character) const;
  const std::string* plain(std::string_view word, RawScratch& scratch) const;
  const Text& apply_steps(std::string_view word, RawScratch& scratch) const;

  RawCut cut_;
  std::vector<const Step*> steps_;
  const Model& model_;
  const Unigram* unigram_ = nullptr;  // whose spellings depend on the words before
  std::array<Kind, 128> kinds_{};
  uint64_t serial_ = ModelCache::new_owner();
};

// Finds the words of one text.
class RawCutter {
 public:
  RawCutter(const RawWords& words, std::string_view text) : words_(words), text_(text) {}

  // The next ones, in memory of this object, until its next call; none at the end.
  std::span<const Span> next();

 private:
  static constexpr size_t kChunk = 16;  // blocks of kMaskBytes

  void cut_chunk();
  struct Borders {
    uint64_t begins, ends;
  };
  Borders cut_block(const ByteMasks& masks, size_t begin);
  void list(const Borders* blocks, size_t count);
  uint64_t joined(uint64_t gaps, size_t begin) const;
  bool high_at(size_t at) const { return at < text_.size() && (text_[at] & 0x80) != 0; }

  const RawWords& words_;
  const std::string_view text_;
  size_t at_ = 0;
  uint64_t in_word_ = 0, behind_mark_ = 0;  // what the byte before the block is: 1 or 0
  // Begins and ends are counted apart, as a word may begin in one chunk and end in another.
  static constexpr size_t kMost = kChunk * kMaskBytes + kMorePlaces + 1;
  size_t begun_ = 0, ended_ = 0;
  uint32_t begins_[kMost], ends_[kMost];
  Span spans_[kMost];
};

}  // namespace lowbit::tokenizers
