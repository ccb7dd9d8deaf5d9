// From a vocabulary to a model.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

#include "core/error.hpp"
#include "tokenizers/bpe.hpp"
#include "tokenizers/utf8_atoms.hpp"

namespace lowbit::tokenizers {
namespace {

// Numbers in order of their keys, equal keys in order of the numbers.
template <class Key>
std::vector<uint32_t> sorted_by(size_t count, Key key) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  const auto less = [&](uint32_t a, uint32_t b) { return key(a) < key(b); };
  if (!std::is_sorted(order.begin(), order.end(), less))
    std::stable_sort(order.begin(), order.end(), less);
  return order;
}

// The same for small keys.
template <class Key>
std::vector<uint32_t> counting_sort(size_t count, Key key) {
  size_t largest = 0;
  for (uint32_t i = 0; i < count; ++i) largest = std::max<size_t>(largest, key(i));
  std::vector<uint32_t> begins(largest + 2);
  for (uint32_t i = 0; i < count; ++i) ++begins[key(i) + 1];
  std::partial_sum(begins.begin(), begins.end(), begins.begin());
  std::vector<uint32_t> order(count);
  for (uint32_t i = 0; i < count; ++i) order[begins[key(i)]++] = i;
  return order;
}

// Symbols by id.
class IdIndex {
 public:
  explicit IdIndex(const BpeVocabulary& vocabulary)
      : ids_(vocabulary.ids),
        order_(sorted_by(ids_.size(), [&](uint32_t symbol) { return ids_[symbol]; })) {
    for (size_t i = 0; i + 1 < order_.size(); ++i)
      check(ids_[order_[i]] != ids_[order_[i + 1]], "Bpe: the tokens '",
            vocabulary.tokens[order_[i]], "' and '", vocabulary.tokens[order_[i + 1]],
            "' have the same id ", ids_[order_[i]]);
  }
  uint32_t find(int32_t id) const {
    // Most vocabularies have the ids 0, 1, 2, ...
    if (id >= 0 && static_cast<size_t>(id) < ids_.size() && ids_[order_[id]] == id)
      return order_[id];
    const auto less = [&](uint32_t symbol, int32_t wanted) { return ids_[symbol] < wanted; };
    const auto found = std::lower_bound(order_.begin(), order_.end(), id, less);
    return found != order_.end() && ids_[*found] == id ? *found : Merges::kNone;
  }

 private:
  const std::vector<int32_t>& ids_;
  std::vector<uint32_t> order_;
};

void check_vocabulary(const BpeVocabulary& vocabulary) {
  const auto& [tokens, ids] = vocabulary;
  check(tokens.size() == ids.size(), "Bpe: ", tokens.size(), " tokens but ", ids.size(), " ids");
  for (size_t i = 0; i < ids.size(); ++i)
    check(ids[i] >= 0, "Bpe: the id of '", tokens[i], "' must be at least 0, got ", ids[i]);
}

// Adds the atoms that are parts of tokens without being tokens.
void add_missing_atoms(BpeVocabulary& vocabulary, Atoms atoms) {
  std::unordered_set<std::string_view> known;
  for (const std::string& token : vocabulary.tokens)
    if (token.size() <= 4) known.insert(token);
  std::vector<std::string> missing;
  bool seen[256] = {};
  for (const std::string& token : vocabulary.tokens)
    for (size_t at = 0, length; at < token.size(); at += length) {
      length = atoms == Atoms::bytes ? 1 : atom_length(token, at);
      if (length == 1 && std::exchange(seen[static_cast<uint8_t>(token[at])], true)) continue;
      const std::string_view atom = std::string_view(token).substr(at, length);
      if (known.insert(atom).second) missing.emplace_back(atom);
    }
  vocabulary.ids.resize(vocabulary.ids.size() + missing.size(), -1);
  std::move(missing.begin(), missing.end(), std::back_inserter(vocabulary.tokens));
}

}  // namespace

Bpe::Bpe(const BpeVocabulary& vocabulary, BpeOptions options, size_t merge_count)
    : options_(std::move(options)), index_(vocabulary.tokens), symbols_(index_.size()),
      ids_(vocabulary.ids) {
  std::iota(symbols_.begin(), symbols_.end(), 0u);
  check(options_.dropout >= 0 && options_.dropout <= 1, "Bpe: dropout must be from 0 to 1, got ",
        options_.dropout);
  check(merge_count < kNone && index_.size() < kNone - 1, "Bpe: ", index_.size(), " tokens and ",
        merge_count, " merges, at most 2 million fit");
  prefix_length_ = count_atoms(options_.continuing_prefix);
  find_special_atoms();
  order_.reserve(merge_count);
  if (options_.atoms == Atoms::bytes && !has_affixes()) byte_pairs_.assign(256 * 256, kNone);
}

void Bpe::find_special_atoms() {
  const auto find = [&](std::string_view text) {
    const uint32_t symbol = index_.find(text);
    return symbol == TokenIndex::kNone ? kNone : symbol;
  };
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    bytes_[byte] = find({&text, 1});
    const char* digits = "0123456789ABCDEF";
    const char name[] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    fallback_[byte] = options_.byte_fallback ? find({name, 6}) : kNone;
  }
  if (!options_.unknown_id) return;
  const auto found = std::find(ids_.begin(), ids_.end(), *options_.unknown_id);
  check(*options_.unknown_id >= 0 && found != ids_.end(), "Bpe: unknown_id=",
        *options_.unknown_id, " is not in the vocabulary");
  unknown_ = static_cast<uint32_t>(found - ids_.begin());
}

// Of an ambiguous token, such as one that is a lone character behind the prefix, it is true.
bool Bpe::may_be_atom(std::string_view token) const {
  const std::string& prefix = options_.continuing_prefix;
  const std::string& suffix = options_.end_of_word_suffix;
  const auto is_atom = [&](std::string_view text) {
    if (text.empty()) return false;
    return text.size() == (options_.atoms == Atoms::bytes ? 1 : atom_length(text, 0));
  };
  const auto is_last = [&](std::string_view text) {
    if (is_atom(text)) return true;
    return text.ends_with(suffix) && is_atom(text.substr(0, text.size() - suffix.size()));
  };
  return is_last(token) || (token.starts_with(prefix) && is_last(token.substr(prefix.size())));
}

// As in the reference, where the right part loses as many bytes as the prefix has characters.
std::string Bpe::join(const std::string& left, const std::string& right) const {
  check(right.size() >= prefix_length_, "Bpe: merge ('", left, "', '", right,
        "'): the right part is shorter than the prefix '", options_.continuing_prefix, "'");
  return std::string(left).append(right, prefix_length_);
}

std::unique_ptr<Bpe> Bpe::from_merges(const BpeVocabulary& vocabulary, const StringMerges& merges,
                                      BpeOptions options) {
  check_vocabulary(vocabulary);
  const IdIndex unique(vocabulary);
  std::unique_ptr<Bpe> bpe(new Bpe(vocabulary, std::move(options), merges.size()));
  uint32_t merged = 0;
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    const auto& [left, right] = merges[rank];
    const auto find = [&](const std::string& part) {
      const uint32_t found = bpe->index_.find(part);
      check(found != TokenIndex::kNone, "Bpe: merge ", rank, " ('", left, "', '", right, "'): '",
            part, "' is not in the vocabulary");
      return found;
    };
    const std::string text = bpe->join(left, right);
    // Tokens mostly come in the order of their merges.
    if (++merged >= bpe->index_.size() || bpe->index_.text(merged) != text ||
        bpe->index_.has_equal_tokens())
      merged = find(text);
    bpe->order_.push_back({find(left), find(right), rank, merged});
  }
  bpe->list_merges();
  bpe->finish();
  return bpe;
}

std::unique_ptr<Bpe> Bpe::from_merges(const BpeVocabulary& vocabulary,
                                      const std::vector<IdMerge>& merges, BpeOptions options) {
  check_vocabulary(vocabulary);
  const IdIndex index(vocabulary);
  std::unique_ptr<Bpe> bpe(new Bpe(vocabulary, std::move(options), merges.size()));
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    const auto symbol = [&](int32_t id) {
      const uint32_t found = index.find(id);
      check(found != kNone, "Bpe: merge ", rank, ": no token has the id ", id);
      return found;
    };
    const Merge merge{symbol(merges[rank].left), symbol(merges[rank].right), rank,
                      symbol(merges[rank].merged)};
    const auto& [tokens, ids] = vocabulary;
    check(tokens[merge.merged] == bpe->join(tokens[merge.left], tokens[merge.right]),
          "Bpe: merge ", rank, ": '", tokens[merge.left], "' and '", tokens[merge.right],
          "' do not make '", tokens[merge.merged], "'");
    bpe->order_.push_back(merge);
  }
  bpe->list_merges();
  bpe->finish();
  return bpe;
}

// Equal values get equal ranks.
template <class Value>
static std::vector<uint32_t> dense_ranks(const std::vector<Value>& values, bool& tied) {
  const std::vector<uint32_t> order =
      sorted_by(values.size(), [&](uint32_t i) { return values[i]; });
  std::vector<uint32_t> ranks(values.size());
  uint32_t rank = 0;
  tied = false;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0) values[order[i]] == values[order[i - 1]] ? void(tied = true) : void(++rank);
    ranks[order[i]] = rank;
  }
  return ranks;
}

std::unique_ptr<Bpe> Bpe::from_ranks(BpeVocabulary vocabulary, const std::vector<int64_t>& ranks,
                                     BpeOptions options) {
  check(ranks.size() == vocabulary.tokens.size(), "Bpe: ", vocabulary.tokens.size(),
        " tokens but ", ranks.size(), " ranks");
  bool tied;
  std::vector<uint32_t> dense = dense_ranks(ranks, tied);
  return from_order(std::move(vocabulary), std::move(dense), tied, std::move(options));
}

std::unique_ptr<Bpe> Bpe::from_scores(BpeVocabulary vocabulary, const std::vector<float>& scores,
                                      BpeOptions options) {
  check(scores.size() == vocabulary.tokens.size(), "Bpe: ", vocabulary.tokens.size(),
        " tokens but ", scores.size(), " scores");
  std::vector<float> costs;
  for (const float score : scores) {
    check(!std::isnan(score), "Bpe: the score of '", vocabulary.tokens[costs.size()],
          "' is not a number");
    costs.push_back(-score);
  }
  bool tied;
  std::vector<uint32_t> dense = dense_ranks(costs, tied);
  return from_order(std::move(vocabulary), std::move(dense), tied, std::move(options));
}

std::unique_ptr<Bpe> Bpe::from_order(BpeVocabulary vocabulary, std::vector<uint32_t> ranks,
                                     bool tied, BpeOptions options) {
  check(options.continuing_prefix.empty() && options.end_of_word_suffix.empty(),
        "Bpe: ranks and scores go without continuing_prefix and end_of_word_suffix");
  check_vocabulary(vocabulary);
  const IdIndex unique(vocabulary);
  const size_t count = vocabulary.tokens.size();
  add_missing_atoms(vocabulary, options.atoms);
  std::unique_ptr<Bpe> bpe(new Bpe(vocabulary, std::move(options), count));
  const bool ordered = std::is_sorted(ranks.begin(), ranks.end(), std::less_equal<>());
  using Results = Merges::Results;
  bpe->merges_ = Merges(count, tied      ? Results::tied
                               : ordered ? Results::ordered
                                         : Results::listed);
  // The last symbol stands for all atoms that are in no token.
  bpe->symbols_.push_back(static_cast<uint32_t>(bpe->ids_.size()));
  bpe->ids_.push_back(-1);
  bpe->derived_ = true;
  const auto length = [&](uint32_t token) { return bpe->index_.text(token).size(); };
  std::vector<Part> parts;
  for (const uint32_t token : counting_sort(count, length))
    bpe->derive_merge(token, ranks[token], parts);
  const auto rank = [&](uint32_t i) { return bpe->order_[i].rank; };
  std::vector<Merge> sorted;
  sorted.reserve(bpe->order_.size());
  for (const uint32_t i : counting_sort(bpe->order_.size(), rank)) sorted.push_back(bpe->order_[i]);
  bpe->order_ = std::move(sorted);
  bpe->finish();
  return bpe;
}

// Within a text, merges that stay inside a token go as they would in the token alone, up to the
// last one, which joins its two parts. So one merge a token is enough: of the two parts that are
// left of it when the merges of all shorter tokens have been done.
void Bpe::derive_merge(uint32_t token, uint32_t rank, std::vector<Part>& parts) {
  const std::string_view text = index_.text(token);
  if (index_.has_equal_tokens() && index_.find(text) != token) return;
  parts.resize(kShortWord);
  size_t count = split_into_bytes(text, parts.data());
  if (count == 0) {
    parts.clear();
    split_into_atoms(text, parts);
    count = parts.size();
    rank_parts(merges_, parts.data(), count);
  }
  count = count <= kShortWord ? merge_short(merges_, parts.data(), count)
                              : merge_by_heap(merges_, parts.data(), count, {});
  if (count != 2) return;
  const Merge merge{parts[0].symbol, parts[1].symbol, rank, token};
  merges_.add(merge);
  order_.push_back(merge);
  if (text.size() == 2 && !byte_pairs_.empty()) byte_pairs_[byte_pair(text, 0)] = rank;
}

// Where tokens come in the order of their merges, as they do after training, the number of the
// token can serve as the rank.
void Bpe::list_merges() {
  const auto by_merged = [](const Merge& a, const Merge& b) { return a.merged <= b.merged; };
  const bool ordered = std::is_sorted(order_.begin(), order_.end(), by_merged);
  merges_ = Merges(order_.size(), ordered ? Merges::Results::ordered : Merges::Results::listed);
  for (Merge& merge : order_) {
    if (ordered) merge.rank = merge.merged;
    merges_.add(merge);
  }
}

void Bpe::finish() {
  std::vector<bool> spelled(ids_.size());  // by their own text
  for (uint32_t token = 0; token < index_.size(); ++token)
    spelled[token] = may_be_atom(index_.text(token));
  std::vector<bool> first = spelled;  // what words start out with
  if (derived_) first.back() = true;
  if (unknown_ != kNone) first[unknown_] = true;
  for (const uint32_t symbol : fallback_)
    if (symbol != kNone) first[symbol] = true;
  splits_ = std::make_unique<Splits>(merges_, order_, first, derived_);
  for (const Merge& merge : splits_->made())
    spelled[merge.merged] = spelled[merge.left] && spelled[merge.right];
  list_whole_words(spelled);
  if (splits_->regular() && merges_.listed()) renumber(splits_->made());
  std::vector<Merge>().swap(order_);
  if (byte_pairs_.empty()) return;
  for (size_t left = 0; left < 256; ++left)
    for (size_t right = 0; right < 256; ++right)
      if (bytes_[left] != kNone && bytes_[right] != kNone)
        byte_pairs_[left << 8 | right] = merges_.rank(bytes_[left], bytes_[right]);
}

// `spelled`: the tokens that are the encoding of their own text.
void Bpe::list_whole_words(const std::vector<bool>& spelled) {
  whole_.resize(index_.size());
  whole_words_ = WholeWords(index_.size());
  for (uint32_t token = 0; token < index_.size(); ++token) {
    whole_[token] = ids_[token] >= 0 && (options_.ignore_merges ||
                                         (spelled[token] && !has_affixes()));
    if (!whole_[token]) continue;
    const std::string_view text = index_.text(token);
    if (index_.has_equal_tokens() && index_.find(text) != token) continue;
    longest_ = std::max(longest_, text.size());
    if (!text.empty() && text.size() <= WordKey::kMaxBytes) whole_words_.insert(text, ids_[token]);
  }
}

// Gives the symbols that merges make the numbers of their ranks, behind all others. So a merge is
// one number; merges that cannot happen are dropped.
void Bpe::renumber(const std::vector<Merge>& made) {
  std::vector<bool> is_made(ids_.size());
  for (const Merge& merge : made) is_made[merge.merged] = true;
  std::vector<uint32_t> number(ids_.size());
  uint32_t next = 0;
  for (uint32_t symbol = 0; symbol < ids_.size(); ++symbol)
    if (!is_made[symbol]) number[symbol] = next++;
  const uint32_t others = next;
  for (const Merge& merge : made) number[merge.merged] = next++;

  std::vector<int32_t> ids(ids_.size());
  for (uint32_t symbol = 0; symbol < ids.size(); ++symbol) ids[number[symbol]] = ids_[symbol];
  ids_ = std::move(ids);
  const auto change = [&](uint32_t& symbol) {
    if (symbol != kNone) symbol = number[symbol];
  };
  change(unknown_);
  for (uint32_t& symbol : symbols_) change(symbol);
  for (uint32_t& symbol : bytes_) change(symbol);
  for (uint32_t& symbol : fallback_) change(symbol);

  Merges merges(made.size(), Merges::Results::ordered);
  std::vector<Merge> renumbered;
  renumbered.reserve(made.size());
  for (const Merge& merge : made) {
    const uint32_t merged = number[merge.merged];
    renumbered.push_back({number[merge.left], number[merge.right], merged, merged});
    merges.add(renumbered.back());
  }
  merges_ = std::move(merges);
  std::vector<bool> atoms(ids_.size());
  std::fill_n(atoms.begin(), others, true);
  splits_ = std::make_unique<Splits>(merges_, renumbered, atoms, true);
}

}  // namespace lowbit::tokenizers
