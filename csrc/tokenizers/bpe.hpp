// Byte-pair encoding (Sennrich et al., 2016), as Hugging Face tokenizers, tiktoken and
// sentencepiece do it.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/bpe_merges.hpp"
#include "tokenizers/bpe_seams.hpp"
#include "tokenizers/bpe_splits.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/token_table.hpp"
#include "tokenizers/whole_words.hpp"

namespace lowbit::tokenizers {

enum class Atoms { bytes, characters };

struct BpeOptions {
  Atoms atoms = Atoms::bytes;
  bool byte_fallback = false;         // atoms without a token become <0xXX> if all bytes have one
  std::optional<int32_t> unknown_id;  // for atoms that have no token; without one they are dropped
  bool fuse_unknown = false;          // neighbouring unknown atoms are one token
  bool ignore_merges = false;         // a word that is a token is that token
  std::string continuing_prefix;      // before every atom but the first
  std::string end_of_word_suffix;     // behind the last atom
};

// `ids[i]` is the id of `tokens[i]`: from 0 to 2^31 - 1, each at most once. Of equal tokens the
// last counts.
struct BpeVocabulary {
  StringTable tokens;
  std::vector<int32_t> ids;
};

class Bpe : public Model {
 public:
  // Merges in order of rank, by the places of tokens; of equal merges the last counts.
  static std::unique_ptr<Bpe> from_merges(BpeVocabulary vocabulary,
                                          const std::vector<TokenPair>& merges,
                                          BpeOptions options);

  // Any two neighbours merge whose text is a token, lowest rank first. In tiktoken ranks are ids
  // and `ignore_merges` holds.
  static std::unique_ptr<Bpe> from_ranks(BpeVocabulary vocabulary,
                                         const std::vector<int64_t>& ranks, BpeOptions options);
  // The same with the highest score first, as in sentencepiece.
  static std::unique_ptr<Bpe> from_scores(BpeVocabulary vocabulary,
                                          const std::vector<float>& scores, BpeOptions options);

  void encode(std::string_view word, std::vector<Piece>& pieces) const override;
  void encode_ids(std::string_view word, IdBuffer& ids) const override;

  // With dropout, as in the tokenizers library: candidates are passed over with its probability,
  // until a merge comes to pass; `ignore_merges` is not looked at.
  void sample(std::string_view word, const Sampling& sampling, uint64_t seed,
              std::vector<Piece>& pieces) const override;

 private:
  // Longer words are not searched for the lowest rank after each merge.
  static constexpr uint32_t kNone = Merges::kNone;
  static constexpr size_t kShortWord = 32, kVeryLong = size_t{1} << 14;
  static constexpr uint32_t kTabled = 0x10000;  // code points

  Bpe(BpeVocabulary vocabulary, BpeOptions options, size_t merge_count);

  // Construction.
  static std::unique_ptr<Bpe> from_order(BpeVocabulary vocabulary, std::vector<uint32_t> ranks,
                                         bool tied, BpeOptions options);
  void find_special_atoms();
  bool may_be_atom(std::string_view token) const;
  void derive_merge(uint32_t token, uint32_t rank, std::vector<Part>& parts);
  uint32_t find_merged(TokenPair pair, uint32_t rank, uint32_t guess, std::string& text) const;
  void list_merges();
  void finish();
  void list_seams();
  void list_characters();
  void renumber(const std::vector<Merge>& made);
  void list_whole_words(const std::vector<bool>& spelled);

  // Encoding.
  static void check_length(std::string_view word);
  bool has_affixes() const {
    return !options_.continuing_prefix.empty() || !options_.end_of_word_suffix.empty();
  }
  int32_t whole_word(std::string_view word) const;
  uint32_t find_symbol(std::string_view token) const {
    const uint32_t number = index_.find(token);
    return number == TokenIndex::kNone ? Merges::kNone : symbols_[number];
  }
  static size_t byte_pair(std::string_view text, size_t at) {
    return static_cast<size_t>(static_cast<uint8_t>(text[at])) << 8 |
           static_cast<uint8_t>(text[at + 1]);
  }
  size_t split_into_bytes(std::string_view word, Part* parts) const;
  size_t split_into_characters(std::string_view word, Part* parts) const;
  uint32_t find_character(std::string_view word, size_t at, size_t length) const;
  bool split_into_known_bytes(std::string_view word, std::vector<Part>& parts) const;
  void encode_stretch(std::string_view text, bool may_be_whole, std::vector<Piece>& pieces) const;
  bool encode_bytes(std::string_view text, IdBuffer& ids) const;
  bool encode_short(std::string_view word, std::vector<Piece>& pieces) const;
  uint32_t find_atom(std::string_view word, size_t at, size_t length, std::string& text) const;
  void split_into_atoms(std::string_view word, std::vector<Part>& parts) const;
  void split_by_reference(std::string_view word, std::vector<Part>& parts) const;
  size_t merge(Part* parts, size_t count) const;
  const LongWords* long_words() const;
  const Merges& all_merges() const;
  Merges derive_all_merges() const;
  void append(std::string_view word, const Part* parts, size_t count,
              std::vector<Piece>& pieces) const;

  BpeOptions options_;
  size_t prefix_length_ = 0;          // in characters
  TokenIndex index_;
  std::vector<uint32_t> symbols_;     // by number of the token
  std::vector<int32_t> ids_;          // by symbol; -1: an atom that is no token
  uint32_t unknown_ = Merges::kNone;  // symbols, or kNone
  uint32_t bytes_[256];               // of single bytes
  uint32_t fallback_[256];            // of <0xXX>
  bool derived_ = false;              // the merges, from the tokens
  std::vector<Merge> order_;          // during construction
  Merges merges_;
  std::vector<uint32_t> byte_pairs_;  // the ranks of two single bytes
  std::vector<bool> whole_;           // by number: whether the token's text as a word is the token
  size_t longest_ = 0;                // of those, in bytes
  WholeWords whole_words_{0};         // of them those that fit
  std::vector<uint32_t> characters_;  // symbols by code point, of words of characters
  Seams seams_;
  std::unique_ptr<Splits> splits_;
  mutable std::once_flag long_words_once_;
  mutable std::unique_ptr<LongWords> long_words_;
  bool tied_ = false;                 // if derived: whether tokens have equal ranks
  std::vector<uint32_t> ranks_;       // if derived, by number of the token
  std::vector<Merge> listed_;         // all merges, if `merges_` has not all
  mutable std::once_flag all_merges_once_;
  mutable std::unique_ptr<Merges> all_merges_;
};

}  // namespace lowbit::tokenizers
