#include "tokenizers/training/unigram_trainer.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <unordered_set>

#include "core/error.hpp"
#include "core/threads.hpp"
#include "tokenizers/training/piece_lattice.hpp"
#include "tokenizers/training/seed_pieces.hpp"

namespace lowbit::tokenizers {
namespace {

// Pieces that are expected less often leave.
constexpr double kLeastExpected = 0.5;
constexpr double kGoneScore = -std::numeric_limits<double>::infinity();  // until they are pruned
// More pieces than are wanted are left for the last choice, which is by probability.
constexpr double kSurplus = 1.1;

// The derivative of log gamma: recurrence up to 7, then an asymptotic series.
double digamma(double x) {
  double sum = 0;
  for (; x < 7; x += 1) sum -= 1 / x;
  x -= 0.5;
  const double square = 1 / (x * x), fourth = square * square;
  return sum + std::log(x) + square / 24 - 7.0 / 960 * fourth + 31.0 / 8064 * fourth * square -
         127.0 / 30720 * fourth * fourth;
}

// Beside single characters, for whose numbers there is room.
int64_t most_seeds(const UnigramTrainerOptions& options) {
  return std::min(options.seeds_per_token * options.vocab_size, PieceEdge::kMostPieces / 2);
}

struct ScoredPiece {
  std::string text;
  double score;
};

class UnigramTrainer {
 public:
  UnigramTrainer(const PieceText& text, const UnigramTrainerOptions& options)
      : UnigramTrainer(text, find_seed_pieces(text, most_seeds(options), options.max_piece_length),
                       options) {}

  void train(int64_t wanted, const Progress& progress);
  // All characters and the most probable other pieces, from the most probable on.
  std::vector<ScoredPiece> best_pieces(int64_t wanted,
                                       const std::unordered_set<std::string>& taken) const;

 private:
  UnigramTrainer(const PieceText& text, const SeedPieces& seeds,
                 const UnigramTrainerOptions& options);

  struct Piece {
    uint32_t place, length;  // of its last character; characters
  };
  void maximize();
  void prune(int64_t wanted);
  std::vector<double> losses() const;
  double loss(size_t i, const std::vector<uint32_t>& cut, double total) const;
  void keep(const std::vector<uint32_t>& kept);

  std::string spell(const Piece& piece) const;

  const PieceText& text_;
  const UnigramTrainerOptions& options_;
  PieceLattice lattice_;
  std::vector<Piece> pieces_;  // single characters first, in the order of the text's
  size_t characters_ = 0;
  int64_t alive_ = 0;  // pieces that are expected often enough
  std::vector<double> scores_, expected_;
};

UnigramTrainer::UnigramTrainer(const PieceText& text, const SeedPieces& seeds,
                               const UnigramTrainerOptions& options)
    : text_(text), options_(options), lattice_(text, seeds) {
  expected_.resize(seeds.pieces.size());
  double total = 0;
  for (const SeedPiece& seed : seeds.pieces) {
    pieces_.push_back({seeds.order[seed.begin], seed.length});
    characters_ += seed.length == 1;
    scores_.push_back(static_cast<double>(seed.count) * seed.length);
    total += scores_.back();
  }
  for (double& score : scores_) score = std::log(score / total);
}

// Expected counts become scores. The digamma function instead of the logarithm is what a sparse
// prior on the pieces makes of them: rare pieces lose (Liang and Klein, 2007), the rarest leave.
void UnigramTrainer::maximize() {
  double total = 0;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    if (i < characters_) expected_[i] = std::max(expected_[i], kLeastExpected);
    if (expected_[i] >= kLeastExpected) total += expected_[i];
  }
  const double all = digamma(total);
  alive_ = 0;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const bool alive = expected_[i] >= kLeastExpected;
    scores_[i] = alive ? digamma(expected_[i]) - all : kGoneScore;
    alive_ += alive;
  }
}

// What the log likelihood of the corpus loses, per token, when occurrences of a piece are cut into
// other pieces. Infinite for single characters, negative for what is never the best cut of itself.
std::vector<double> UnigramTrainer::losses() const {
  const double total = std::accumulate(expected_.begin(), expected_.end(), 0.0);
  std::vector<double> losses(pieces_.size(), -1.0);
  const auto pieces = static_cast<int64_t>(pieces_.size());
  parallel_for(pieces, 1024, [&](int64_t begin, int64_t end) {
    std::vector<uint32_t> cut;
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      if (i < characters_) losses[i] = std::numeric_limits<double>::infinity();
      if (i < characters_ || scores_[i] == kGoneScore) continue;
      lattice_.best_cut(pieces_[i].place, pieces_[i].length, scores_, cut);
      losses[i] = loss(i, cut, total);
    }
  });
  return losses;
}

// Of one piece, when it is cut so; `total` is the number of all tokens.
double UnigramTrainer::loss(size_t i, const std::vector<uint32_t>& cut, double total) const {
  double score = 0;
  for (const uint32_t piece : cut) score += scores_[piece];
  if (score >= scores_[i]) return -1;
  const double count = expected_[i];
  const double new_total = std::log(total + count * (static_cast<double>(cut.size()) - 1));
  double rest = 0;
  for (const uint32_t piece : cut) rest += std::log(expected_[piece] + count) - new_total;
  return count / total * (std::log(count / total) - rest);
}

void UnigramTrainer::prune(int64_t wanted) {
  const std::vector<double> losses = this->losses();
  std::vector<uint32_t> kept;
  for (uint32_t i = 0; i < pieces_.size(); ++i)
    if (losses[i] >= 0) kept.push_back(i);
  const auto shrunk = static_cast<int64_t>(options_.shrinking_factor * static_cast<double>(alive_));
  const auto size = static_cast<size_t>(std::max(wanted, shrunk));
  if (kept.size() > size) {
    std::nth_element(kept.begin(), kept.begin() + size, kept.end(), [&](uint32_t a, uint32_t b) {
      return losses[a] != losses[b] ? losses[a] > losses[b] : a < b;
    });
    kept.resize(size);
    std::sort(kept.begin(), kept.end());
  }
  keep(kept);
}

void UnigramTrainer::keep(const std::vector<uint32_t>& kept) {
  std::vector<uint32_t> numbers(pieces_.size(), PieceLattice::kGone);
  for (uint32_t i = 0; i < kept.size(); ++i) {
    numbers[kept[i]] = i;
    pieces_[i] = pieces_[kept[i]];
    scores_[i] = scores_[kept[i]];
    expected_[i] = expected_[kept[i]];
  }
  pieces_.resize(kept.size());
  scores_.resize(kept.size());
  expected_.resize(kept.size());
  lattice_.renumber(numbers);
}

void UnigramTrainer::train(int64_t wanted, const Progress& progress) {
  const auto surplus = static_cast<int64_t>(static_cast<double>(wanted) * kSurplus);
  for (;;) {
    for (int64_t i = 0; i < options_.sub_iterations; ++i) {
      report(progress, "prune", alive_, surplus);
      lattice_.expect(scores_, expected_);
      maximize();
    }
    if (alive_ <= surplus) return;
    prune(surplus);
  }
}

std::string UnigramTrainer::spell(const Piece& piece) const {
  std::string text;
  for (uint32_t i = piece.length; i-- > 0;)
    text += text_.characters[text_.symbols[piece.place - i]];
  return text;
}

std::vector<ScoredPiece> UnigramTrainer::best_pieces(
    int64_t wanted, const std::unordered_set<std::string>& taken) const {
  std::vector<uint32_t> order(pieces_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin() + characters_, order.end(), [&](uint32_t a, uint32_t b) {
    return scores_[a] != scores_[b] ? scores_[a] > scores_[b] : a < b;
  });
  std::vector<ScoredPiece> best;
  for (const uint32_t i : order) {
    if (static_cast<int64_t>(best.size()) == wanted || scores_[i] == kGoneScore) break;
    ScoredPiece piece{spell(pieces_[i]), scores_[i]};
    if (!taken.contains(piece.text)) best.push_back(std::move(piece));
  }
  std::sort(best.begin(), best.end(), [](const ScoredPiece& a, const ScoredPiece& b) {
    return a.score != b.score ? a.score > b.score : a.text < b.text;
  });
  return best;
}

void check_options(const UnigramTrainerOptions& options) {
  const char* const caller = "UnigramTrainer";
  check(options.vocab_size >= 1 && options.vocab_size <= INT32_MAX, caller, ": vocab_size is ",
        options.vocab_size, "; it is 1 to 2,147,483,647");
  check(options.seeds_per_token >= 1 && options.seeds_per_token <= 1000, caller,
        ": seeds_per_token is ", options.seeds_per_token, "; it is 1 to 1000");
  check(options.shrinking_factor > 0 && options.shrinking_factor < 1, caller,
        ": shrinking_factor is ", options.shrinking_factor, "; it is between 0 and 1");
  check(options.sub_iterations >= 1, caller, ": sub_iterations is ", options.sub_iterations,
        "; it is at least 1");
  check(options.max_piece_length >= 1 && options.max_piece_length <= 1000, caller,
        ": max_piece_length is ", options.max_piece_length, "; it is 1 to 1000");
  check(options.character_coverage > 0 && options.character_coverage <= 1, caller,
        ": character_coverage is ", options.character_coverage, "; it is above 0 and at most 1");
}

// Special tokens and bytes, with the scores 0.
UnigramTraining begin_vocabulary(const UnigramTrainerOptions& options) {
  UnigramTraining result;
  std::vector<std::string>& tokens = result.tokens;
  for (const std::string& token : options.special_tokens)
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  auto unknown = std::find(tokens.begin(), tokens.end(), options.unknown_token);
  if (unknown == tokens.end()) unknown = tokens.insert(tokens.begin(), options.unknown_token);
  result.unknown_id = static_cast<int32_t>(unknown - tokens.begin());
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (int byte = 0; options.byte_fallback && byte < 256; ++byte)
    tokens.push_back(std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + '>');
  result.scores.assign(tokens.size(), 0.0);
  return result;
}

// Characters that are wanted though the corpus lacks them.
std::vector<std::string> absent_characters(const PieceText& text) {
  std::vector<bool> occurs(text.characters.size());
  for (const uint32_t symbol : text.symbols) occurs[symbol] = true;
  std::vector<std::string> absent;
  for (size_t i = 1; i < occurs.size(); ++i)
    if (!occurs[i]) absent.push_back(text.characters[i]);
  return absent;
}

}  // namespace

UnigramTraining train_unigram(const std::vector<CountedWord>& words,
                              const UnigramTrainerOptions& options, const Progress& progress) {
  check_options(options);
  report(progress, "seed", 0, static_cast<int64_t>(words.size()));
  const PieceText text =
      read_characters(words, options.character_coverage, options.initial_alphabet);
  check(!text.segments.empty(),
        "UnigramTrainer: the corpus has no words; give texts that are not empty");
  UnigramTraining result = begin_vocabulary(options);
  const std::vector<std::string> absent = absent_characters(text);
  const auto fixed = static_cast<int64_t>(result.tokens.size() + absent.size());
  const auto smallest = fixed + static_cast<int64_t>(text.characters.size() - 1 - absent.size());
  check(options.vocab_size >= smallest, "UnigramTrainer: vocab_size is ", options.vocab_size,
        ", but the special tokens, bytes and characters are ", smallest,
        "; raise vocab_size or lower character_coverage");

  UnigramTrainer trainer(text, options);
  trainer.train(options.vocab_size - fixed, progress);
  const std::unordered_set<std::string> taken(result.tokens.begin(), result.tokens.end());
  for (auto& piece : trainer.best_pieces(options.vocab_size - fixed, taken)) {
    result.tokens.push_back(std::move(piece.text));
    result.scores.push_back(piece.score);
  }
  const double lowest = result.scores.back();
  for (const std::string& character : absent) {
    if (taken.contains(character)) continue;
    result.tokens.push_back(character);
    result.scores.push_back(lowest);
  }
  return result;
}

}  // namespace lowbit::tokenizers
