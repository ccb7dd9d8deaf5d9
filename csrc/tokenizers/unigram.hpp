// The unigram language model (Kudo, 2018): of all ways to spell a word with tokens, the one whose
// scores have the highest sum.
//
// Two libraries have this model, and near-ties show which one a vocabulary was made for:
//
// "tokenizers" adds float64 scores from the start of each word.
//
// "sentencepiece" adds float32 scores from the start of the text, so where two spellings nearly tie
// the text before a word decides. Words of such a text are encoded with the running total, and a
// `Margin` tells for which totals a spelling found earlier is still the right one.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/double_array.hpp"
#include "tokenizers/model.hpp"
#include "tokenizers/string_table.hpp"

namespace lowbit::tokenizers {

// The numbers are those of sentencepiece's files.
enum class PieceType : uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

enum class UnigramMode { tokenizers, sentencepiece };

struct UnigramOptions {
  UnigramMode mode = UnigramMode::tokenizers;
  int32_t unknown_id = -1;     // -1: none, what cannot be spelled is left out
  bool byte_fallback = false;  // spell the unknown with tokens <0x00> to <0xFF>
  std::vector<PieceType> types;  // for sentencepiece; empty: all normal
};

// How far a spelling can be trusted when its word stands elsewhere in a text.
struct Margin {
  float gap = 0;    // of the best spelling's steps to their rivals, per code point; 0: never trust
  float reach = 0;  // bound on the absolute sums met on the way
};

class Unigram : public Model {
 public:
  // The id of a token is its place; of equal tokens the last is used.
  Unigram(const StringTable& tokens, const std::vector<double>& scores,
          UnigramOptions options);

  // As the only word of a text. Words have less than 2 GB.
  void encode(std::string_view word, std::vector<Piece>& pieces) const override;
  void encode_ids(std::string_view word, IdBuffer& ids) const override { encode_ids(word, 0, ids); }

  // As the next word of a text whose words so far add up to `total` (0 at its start), which is
  // advanced. The words have to be cut where no token reaches across, see `cut`.
  Margin encode(std::string_view word, double& total, std::vector<Piece>& pieces) const;

  // The same for the ids of a long word, without a margin; returns the sum behind it.
  double encode_ids(std::string_view word, double total, IdBuffer& ids) const;

  // Whether a spelling with this margin is also the word's spelling behind `total`; if so, the new
  // total is what `advance` makes of its ids.
  bool holds(const Margin& margin, double total) const;
  double advance(double total, std::span<const int32_t> ids) const;

  // Where a text may be cut into words without changing its spelling: in front of runs of U+2581,
  // behind them, or nowhere, as far as the tokens are concerned.
  enum class Cut { before_spaces, behind_spaces, nowhere };
  Cut cut() const { return cut_; }

  std::vector<Spelling> nbest(std::string_view word, int64_t count) const override;

  // Appends a random spelling, drawn with probabilities proportional to exp(alpha * score): from
  // all spellings when nbest_size is negative, else from the nbest_size best. The same seed gives
  // the same spelling.
  void sample(std::string_view word, const Sampling& sampling, uint64_t seed,
              std::vector<Piece>& pieces) const override;

 private:
  template <class Real, bool with_margin>
  friend class UnigramSearch;
  friend class UnigramLattice;

  void find_cut(const std::vector<DoubleArray::Entry>& entries);
  void find_bytes(const StringTable& tokens);
  double total_behind(std::string_view word, double total, std::vector<Piece>& pieces,
                      IdBuffer* ids = nullptr) const;

  // From pieces[first] on: joins neighbouring unknown pieces, or puts bytes in their place.
  void resolve_unknown(std::string_view word, size_t first, std::vector<Piece>& pieces) const;
  void append_bytes(std::string_view word, Piece unknown, std::vector<Piece>& pieces) const;

  bool user_defined(int32_t id) const {
    return !options_.types.empty() &&
           options_.types[static_cast<size_t>(id)] == PieceType::user_defined;
  }
  // In float32, as sentencepiece computes it, so that long symbols win over their parts.
  static double user_defined_score(size_t length) {
    return static_cast<float>(0.1 * (static_cast<double>(length) - 1));
  }
  bool sentencepiece() const { return options_.mode == UnigramMode::sentencepiece; }

  UnigramOptions options_;
  DoubleArray trie_;
  std::vector<double> scores_;  // by id; float32 values for sentencepiece
  double unknown_score_ = 0;
  double largest_score_ = 0;            // in absolute value
  std::array<int32_t, 256> byte_ids_{};  // -1: no such token
  Cut cut_ = Cut::nowhere;
};

}  // namespace lowbit::tokenizers
