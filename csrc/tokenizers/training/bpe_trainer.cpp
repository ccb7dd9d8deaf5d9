#include "tokenizers/training/bpe_trainer.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "core/error.hpp"
#include "tokenizers/training/merge_queue.hpp"
#include "tokenizers/training/pair_counts.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr int32_t kBoundary = -1;  // between words
constexpr int32_t kInside = -2;    // within a token, where it does not begin
constexpr int64_t kReportEvery = 256;
constexpr uint64_t kAhead = 12;  // accesses are announced to the cache this many steps before

// All words lie back to back with a boundary around each. A token is at the slot of its first
// character; the slots of its first and its last character have its size, so that both neighbours
// of a token are found without links.
struct Slot {
  int32_t symbol;
  uint32_t size;  // characters
  int64_t count;  // of the word
};

// Occurrences of a pair that were made in one step.
struct Candidate {
  uint32_t pair;
  uint64_t begin, end;  // in the arena of positions
};

class BpeTrainer {
 public:
  BpeTrainer(const std::vector<CountedWord>& words, SpelledWords spelled,
             const BpeTrainerOptions& options);

  BpeTraining train(const Progress& progress);

  // What the queue asks; see MergeQueue.
  int64_t count(uint32_t candidate) const { return pairs_[candidates_[candidate].pair].count; }
  uint64_t rank(uint32_t candidate) const;
  bool ties(uint32_t a, uint32_t b) const;

 private:
  using Queue = MergeQueue<BpeTrainer>;
  struct Change {  // occurrences of a pair that a merge made or took away
    PairKey key;
    int64_t count;
    uint32_t position, pair;
  };

  void count_pairs();
  bool is_current(const Queue::Entry& entry);
  void merge(Candidate candidate);
  int32_t token_of(int32_t left, int32_t right);
  void replace(uint32_t first, uint32_t second, int32_t id);
  void count_changes(std::vector<Change>& changes, int64_t sign);
  void make_candidates();
  void keep_last_of_equal_merges();

  const BpeTrainerOptions& options_;
  const uint64_t max_size_;
  std::vector<Slot> slots_;
  BpeTraining result_;
  std::unordered_map<std::string, int32_t> ids_;
  PairCounts pairs_;
  std::vector<Change> lost_, made_;  // in this step, in the order of the words
  std::vector<uint32_t> positions_;  // an arena for the occurrences of all candidates
  std::vector<Candidate> candidates_;
  Queue queue_{*this};
};

BpeTrainer::BpeTrainer(const std::vector<CountedWord>& words, SpelledWords spelled,
                       const BpeTrainerOptions& options)
    : options_(options),
      max_size_(options.max_token_length.value_or(std::numeric_limits<uint32_t>::max())) {
  slots_.reserve(spelled.symbols.size() + words.size() + 1);
  slots_.push_back({kBoundary, 1, 0});
  size_t at = 0;
  for (size_t word = 0; word < words.size(); ++word) {
    for (; at < spelled.ends[word]; ++at)
      slots_.push_back({spelled.symbols[at], 1, words[word].count});
    slots_.push_back({kBoundary, 1, 0});
  }
  result_.tokens = std::move(spelled.tokens);
  for (size_t id = 0; id < result_.tokens.size(); ++id)
    ids_.emplace(result_.tokens[id], static_cast<int32_t>(id));
}

uint64_t BpeTrainer::rank(uint32_t candidate) const {
  if (options_.ties == TieRule::ids) return pairs_[candidates_[candidate].pair].key;
  if (options_.ties == TieRule::first) return positions_[candidates_[candidate].begin];
  return 0;
}

// Whether b comes first. What is equal to the end is merged in the order it was made.
bool BpeTrainer::ties(uint32_t a, uint32_t b) const {
  if (options_.ties != TieRule::bytes) return a > b;
  const PairKey x = pairs_[candidates_[a].pair].key, y = pairs_[candidates_[b].pair].key;
  const std::vector<std::string>& tokens = result_.tokens;
  if (const int order = tokens[left_of(x)].compare(tokens[left_of(y)])) return order < 0;
  if (const int order = tokens[right_of(x)].compare(tokens[right_of(y)])) return order < 0;
  return a > b;
}

BpeTraining BpeTrainer::train(const Progress& progress) {
  count_pairs();
  const auto size = [&] { return static_cast<int64_t>(result_.tokens.size()); };
  Queue::Entry best;
  for (int64_t step = 0; size() < options_.vocab_size && queue_.pop(best); ++step) {
    if (step % kReportEvery == 0) report(progress, "merge", size(), options_.vocab_size);
    if (!is_current(best)) {
      queue_.push(best.candidate);
      continue;
    }
    if (best.count < options_.min_frequency) break;
    merge(candidates_[best.candidate]);
  }
  keep_last_of_equal_merges();
  report(progress, "merge", size(), size());
  return std::move(result_);
}

void BpeTrainer::count_pairs() {
  for (uint32_t at = 1; at + 1 < slots_.size(); ++at)
    if (slots_[at].symbol >= 0 && slots_[at + 1].symbol >= 0)
      made_.push_back(
          {pair_key(slots_[at].symbol, slots_[at + 1].symbol), slots_[at].count, at, 0});
  make_candidates();
}

// Counts fall and first occurrences move on while a candidate waits.
bool BpeTrainer::is_current(const Queue::Entry& entry) {
  if (count(entry.candidate) != entry.count) return false;
  if (options_.ties != TieRule::first) return true;
  Candidate& candidate = candidates_[entry.candidate];
  const PairKey key = pairs_[candidate.pair].key;
  for (; candidate.begin < candidate.end; ++candidate.begin) {
    const uint32_t first = positions_[candidate.begin];
    if (slots_[first].symbol == left_of(key) &&
        slots_[first + slots_[first].size].symbol == right_of(key))
      break;
  }
  return rank(entry.candidate) == entry.rank;
}

void BpeTrainer::merge(Candidate candidate) {
  const PairKey key = pairs_[candidate.pair].key;
  const int32_t left = left_of(key), right = right_of(key);
  const int32_t id = token_of(left, right);
  result_.merges.emplace_back(left, right);
  for (uint64_t i = candidate.begin; i < candidate.end; ++i) {
    const uint32_t first = positions_[i];
    __builtin_prefetch(&slots_[positions_[std::min(i + kAhead, candidate.end - 1)]]);
    if (slots_[first].symbol != left) continue;
    const uint32_t second = first + slots_[first].size;
    if (slots_[second].symbol == right) replace(first, second, id);
  }
  make_candidates();
}

int32_t BpeTrainer::token_of(int32_t left, int32_t right) {
  const std::string& prefix = options_.alphabet.continuing_prefix;
  const std::string& tail = result_.tokens[right];
  const size_t skipped = tail.starts_with(prefix) ? prefix.size() : 0;
  std::string token = result_.tokens[left] + tail.substr(skipped);
  const auto id = static_cast<int32_t>(result_.tokens.size());
  if (options_.ties != TieRule::first) {
    const auto [known, is_new] = ids_.emplace(token, id);
    if (!is_new) return known->second;
  }
  result_.tokens.push_back(std::move(token));
  return id;
}

// Makes one token of two neighbours. A pair too long for a token was never counted.
void BpeTrainer::replace(uint32_t first, uint32_t second, int32_t id) {
  const Slot left = slots_[first], right = slots_[second];
  const uint32_t size = left.size + right.size;
  const uint32_t before = first - slots_[first - 1].size, after = first + size;
  if (const Slot& slot = slots_[before]; slot.symbol >= 0) {
    lost_.push_back({pair_key(slot.symbol, left.symbol), left.count, 0, 0});
    if (uint64_t{slot.size} + size < max_size_)
      made_.push_back({pair_key(slot.symbol, id), left.count, before, 0});
  }
  if (const Slot& slot = slots_[after]; slot.symbol >= 0) {
    lost_.push_back({pair_key(right.symbol, slot.symbol), left.count, 0, 0});
    if (uint64_t{slot.size} + size < max_size_)
      made_.push_back({pair_key(id, slot.symbol), left.count, first, 0});
  }
  slots_[second].symbol = kInside;
  slots_[first].symbol = id;
  slots_[first].size = slots_[after - 1].size = size;
}

void BpeTrainer::count_changes(std::vector<Change>& changes, int64_t sign) {
  for (size_t i = 0; i < changes.size(); ++i) {
    pairs_.prefetch(changes[std::min(i + kAhead, changes.size() - 1)].key);
    changes[i].pair = pairs_.find_or_add(changes[i].key);
    pairs_[changes[i].pair].count += sign * changes[i].count;
  }
}

// Sorts the occurrences of this step by pair, each pair becoming a candidate.
void BpeTrainer::make_candidates() {
  count_changes(lost_, -1);
  count_changes(made_, 1);
  const size_t first = candidates_.size();
  for (const Change& made : made_) {
    PairCount& pair = pairs_[made.pair];
    if (pair.cursor++ == 0) candidates_.push_back({made.pair, 0, 0});
  }
  uint64_t end = positions_.size();
  positions_.resize(end + made_.size());
  for (size_t i = first; i < candidates_.size(); ++i) {
    PairCount& pair = pairs_[candidates_[i].pair];
    candidates_[i].begin = end;
    candidates_[i].end = end += pair.cursor;
    pair.cursor = candidates_[i].begin;
  }
  for (const Change& made : made_) positions_[pairs_[made.pair].cursor++] = made.position;
  for (size_t i = first; i < candidates_.size(); ++i) {
    pairs_[candidates_[i].pair].cursor = 0;
    queue_.push(static_cast<uint32_t>(i));
  }
  lost_.clear();
  made_.clear();
}

// A pair whose token had been made otherwise before may be merged a second time where the token
// came up later. A merge stands where it was last.
void BpeTrainer::keep_last_of_equal_merges() {
  std::unordered_set<PairKey> seen;
  auto& merges = result_.merges;
  const auto is_earlier = [&](const std::pair<int32_t, int32_t>& merge) {
    return !seen.insert(pair_key(merge.first, merge.second)).second;
  };
  std::reverse(merges.begin(), merges.end());
  merges.erase(std::remove_if(merges.begin(), merges.end(), is_earlier), merges.end());
  std::reverse(merges.begin(), merges.end());
}

}  // namespace

BpeTraining train_bpe(const std::vector<CountedWord>& words, const BpeTrainerOptions& options,
                      const Progress& progress, const char* caller) {
  check(options.vocab_size >= 1 && options.vocab_size <= INT32_MAX, caller, ": vocab_size is ",
        options.vocab_size, "; it is 1 to 2,147,483,647");
  check(!words.empty(), caller, ": the corpus has no words; give texts that are not empty");
  check(options.max_token_length.value_or(1) >= 1, caller, ": max_token_length is ",
        options.max_token_length.value_or(1), "; it is at least 1, or none");
  report(progress, "alphabet", 0, static_cast<int64_t>(words.size()));
  SpelledWords spelled = spell(words, options.alphabet, caller);
  check(spelled.symbols.size() + words.size() < UINT32_MAX, caller, ": the distinct words have ",
        spelled.symbols.size(), " characters; less than 4 billion are possible: train on a part");
  const auto smallest = static_cast<int64_t>(spelled.tokens.size());
  check(options.vocab_size >= smallest, caller, ": vocab_size is ", options.vocab_size,
        ", but the special tokens and the alphabet are ", smallest,
        "; raise vocab_size or set limit_alphabet");
  return BpeTrainer(words, std::move(spelled), options).train(progress);
}

}  // namespace lowbit::tokenizers
