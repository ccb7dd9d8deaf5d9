#include "tokenizers/unigram_lattice.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "tokenizers/sampling.hpp"
#include "tokenizers/unigram_search.hpp"

namespace lowbit::tokenizers {
namespace {

// Uniform numbers in [0, 1), the same ones for the same seed.
class Uniform {
 public:
  explicit Uniform(uint64_t seed) : seed_(seed) {}
  double next() {
    const Philox random(seed_, counter_++);
    const uint64_t bits = uint64_t{random.word[0]} << 32 | random.word[1];
    return static_cast<double>(bits >> 11) * 0x1p-53;
  }

 private:
  uint64_t seed_, counter_ = 0;
};

// The index that `at` in [0, 1) falls on when each has its share exp(logs[i]) of the whole.
size_t draw(const std::vector<double>& logs, double at) {
  const double largest = *std::max_element(logs.begin(), logs.end());
  double whole = 0;
  for (const double value : logs) whole += std::exp(value - largest);
  at *= whole;
  size_t i = 0;
  for (; i + 1 < logs.size(); ++i)
    if ((at -= std::exp(logs[i] - largest)) < 0) break;
  return i;
}

double log_sum(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kUnreached ? a : a + std::log1p(std::exp(b - a));
}

}  // namespace

UnigramLattice::UnigramLattice(const Unigram& model, std::string_view word)
    : model_(model), word_(word) {
  check(word.size() <= INT32_MAX, "Unigram: a word has ", word.size(), " bytes; at most ",
        INT32_MAX, " are possible");
  std::vector<Edge> edges;
  collect(edges);
  sort_by_end(edges);
}

void UnigramLattice::collect(std::vector<Edge>& edges) const {
  for (size_t at = 0; at < word_.size();) {
    const size_t length = character_length(word_, at);
    const auto begin = static_cast<int32_t>(at);
    bool has_character = false;
    model_.trie_.prefixes(word_.substr(at), [&](size_t bytes, int32_t id) {
      if (id == DoubleArray::kNone) return;
      has_character |= bytes == length;
      edges.push_back({begin, static_cast<int32_t>(at + bytes), id, score_of(at, bytes, id)});
    });
    if (!has_character)
      edges.push_back({begin, static_cast<int32_t>(at + length), model_.options_.unknown_id,
                       model_.unknown_score_});
    at += length;
  }
}

// sentencepiece counts the characters of user-defined symbols here, and their bytes where it looks
// for one spelling alone.
double UnigramLattice::score_of(size_t at, size_t bytes, int32_t id) const {
  if (!model_.user_defined(id)) return model_.scores_[id + 1];
  size_t characters = 0;
  for (size_t place = at; place < at + bytes; place += character_length(word_, place))
    ++characters;
  return Unigram::user_defined_score(characters);
}

void UnigramLattice::sort_by_end(const std::vector<Edge>& edges) {
  first_.assign(word_.size() + 2, 0);
  for (const Edge& edge : edges) ++first_[static_cast<size_t>(edge.end) + 1];
  for (size_t i = 1; i < first_.size(); ++i) first_[i] += first_[i - 1];
  edges_.resize(edges.size());
  std::vector<size_t> next(first_.begin(), first_.end() - 1);
  for (const Edge& edge : edges) edges_[next[static_cast<size_t>(edge.end)]++] = edge;
}

// Forward filtering, backward sampling: the sums over all ways to each place, and then a walk from
// the end that takes each token with its share of them.
void UnigramLattice::sample(double alpha, uint64_t seed, std::vector<Piece>& pieces) const {
  std::vector<double> sums(word_.size() + 1, kUnreached);
  sums[0] = 0;
  for (const Edge& edge : edges_) {
    double& there = sums[static_cast<size_t>(edge.end)];
    const double here = sums[static_cast<size_t>(edge.begin)] + alpha * edge.score;
    if (here != kUnreached) there = log_sum(there, here);
  }
  Uniform uniform(seed);
  const size_t first = pieces.size();
  std::vector<double> logs;
  for (size_t place = word_.size(); place > 0;) {
    logs.clear();
    for (const Edge& edge : ending_at(place))
      logs.push_back(sums[static_cast<size_t>(edge.begin)] + alpha * edge.score);
    const Edge& edge = ending_at(place)[draw(logs, uniform.next())];
    pieces.push_back({edge.id, edge.begin, edge.end});
    place = static_cast<size_t>(edge.begin);
  }
  std::reverse(pieces.begin() + static_cast<ptrdiff_t>(first), pieces.end());
  model_.resolve_unknown(word_, first, pieces);
}

void Unigram::sample(std::string_view word, const Sampling& sampling, uint64_t seed,
                     std::vector<Piece>& pieces) const {
  const auto [alpha, nbest_size] = std::pair(sampling.alpha, sampling.nbest_size);
  check(std::isfinite(alpha), "Unigram: alpha is ", alpha, "; a finite number is expected");
  if (word.empty()) return;
  if (nbest_size == 0 || nbest_size == 1) return encode(word, pieces);
  const UnigramLattice lattice(*this, word);
  if (nbest_size < 0) return lattice.sample(alpha, seed, pieces);
  const std::vector<Spelling> spellings = lattice.best(nbest_size);
  std::vector<double> logs;
  for (const Spelling& spelling : spellings) logs.push_back(alpha * spelling.score);
  const Spelling& drawn = spellings[draw(logs, Uniform(seed).next())];
  pieces.insert(pieces.end(), drawn.pieces.begin(), drawn.pieces.end());
}

}  // namespace lowbit::tokenizers
