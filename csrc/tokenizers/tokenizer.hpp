// A whole tokenizer: added tokens, normalizers, pre-tokenizers, model. Immutable, so any number of
// threads may use one.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizers/added_tokens.hpp"
#include "tokenizers/id_buffer.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/nbest.hpp"
#include "tokenizers/raw_words.hpp"
#include "tokenizers/sampling.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::tokenizers {

class WordCounts;

// One text with the place of every token in it.
struct Located {
  std::vector<int32_t> ids;
  std::vector<int32_t> begins, ends;  // in code points
  std::vector<int32_t> words;         // number of the word in the text
  // Texts of added tokens, with the white space that they take, and of unknown ones.
  std::vector<std::pair<size_t, std::string>> spelled;
};

// What surrounds the ids of each text of a batch, and how many ids a text may have in all.
struct Frame {
  std::vector<int32_t> before, after;
  int64_t max_length = INT64_MAX;  // at least before.size() + after.size()
  bool keep_end = false;           // cut at the beginning instead of the end
  Specials specials;
  int max_threads = INT32_MAX;
  std::optional<Sampling> sampling;
};

// Text i has the ids indptr[i] to indptr[i + 1].
struct Ragged {
  Memory<int32_t> ids;
  std::vector<int64_t> indptr;
};

struct Pipeline {
  using Steps = std::vector<std::unique_ptr<const Step>>;
  Steps normalizers, pre_tokenizers;
  // Cuts pieces further where the model joins nothing; words are numbered without it.
  std::unique_ptr<const Step> cut;
  // Where texts may be cut before any step.
  RawCut raw_cut = RawCut::nowhere;
  // Whether added tokens that are looked for in the normalized text are normalized themselves;
  // sentencepiece's normalizer puts a space before every text and leaves such tokens alone.
  bool normalizes_added = true;
  int32_t unknown = -1;  // id of the unknown token, if `Located::spelled` has it
};

class Tokenizer {
 public:
  // Tokens with `normalized` are looked for in the normalized text, the others before.
  Tokenizer(std::shared_ptr<const Model> model, const std::vector<AddedToken>& added,
            Pipeline pipeline);

  // The same model and steps with other added tokens.
  Tokenizer with_added(const std::vector<AddedToken>& added) const;

  // With `sampling` as row 0 of a batch.
  Located encode(std::string_view text, const Specials& specials,
                 const Sampling* sampling = nullptr) const;

  // The `count` best spellings of a text, or all: those of all its words with the largest sums.
  std::vector<RankedIds> nbest(std::string_view text, const Specials& specials,
                               int64_t count) const;

  // The ids alone, with some before and some behind: in memory of this thread, until its next call.
  std::span<const int32_t> encode_ids(std::string_view text, const Specials& specials,
                                      std::span<const int32_t> before,
                                      std::span<const int32_t> after) const;

  // How many ids `encode` would make, without making them.
  int64_t count_ids(std::string_view text, const Specials& specials) const;

  // The text behind the normalizers, added tokens not looked for.
  std::string normalize(std::string_view text) const;

  // The normalised words between added tokens, before the model.
  std::vector<std::string> split(std::string_view text) const;

  // Adds these words to a table.
  void count(std::string_view text, WordCounts& counts) const;

  // Over the threads of the pool; the result does not depend on their number.
  Ragged encode_batch(const std::vector<std::string_view>& texts, const Frame& frame) const;

  // How many ids each text of such a batch would have; the frame's length is not looked at.
  std::vector<int64_t> count_batch(const std::vector<std::string_view>& texts,
                                   const Frame& frame) const;

 private:
  template <class Sink>
  void run(std::string_view text, const Specials& specials, bool tracked, Sink& sink) const;
  template <class Sink>
  void run_between(Text& text, Sink& sink) const;
  void encode_ids(std::string_view text, const Specials& specials, IdBuffer& ids) const;
  void encode_row(std::string_view text, size_t row, const Frame& frame, IdBuffer& ids) const;
  void encode_some(std::string_view text, size_t row, const Frame& frame, IdBuffer& ids) const;

  void set_added(const std::vector<AddedToken>& added);
  // Whether ids come from the words of texts as they stand.
  bool takes_raw() const { return raw_words_ && normalized_.empty(); }
  uint64_t cache_owner() const { return takes_raw() ? raw_words_->serial() : serial_; }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Pipeline> pipeline_;
  std::shared_ptr<const RawWords> raw_words_;  // may be null
  AddedTokens raw_, normalized_;
  uint64_t serial_;  // tells the caches of this model from those of another
};

}  // namespace lowbit::tokenizers
