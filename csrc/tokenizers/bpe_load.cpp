// From a vocabulary to a model.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "tokenizers/bpe.hpp"
#include "tokenizers/unicode.hpp"
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

void check_vocabulary(const BpeVocabulary& vocabulary) {
  const auto& [tokens, ids] = vocabulary;
  check(tokens.size() == ids.size(), "Bpe: ", tokens.size(), " tokens but ", ids.size(), " ids");
  for (size_t i = 0; i < ids.size(); ++i)
    check(ids[i] >= 0, "Bpe: the id of '", tokens[i], "' must be at least 0, got ", ids[i]);
  const std::vector<uint32_t> order = sorted_by(ids.size(), [&](uint32_t i) { return ids[i]; });
  for (size_t i = 0; i + 1 < order.size(); ++i)
    check(ids[order[i]] != ids[order[i + 1]], "Bpe: the tokens '", tokens[order[i]], "' and '",
          tokens[order[i + 1]], "' have the same id ", ids[order[i]]);
}

// Adds the atoms that are parts of tokens without being tokens.
void add_missing_atoms(BpeVocabulary& vocabulary, Atoms atoms) {
  std::vector<bool> known(0x110000 + 0x100);  // by code point, or behind them by byte
  const auto length_at = [&](std::string_view token, size_t at) {
    return atoms == Atoms::bytes ? 1 : atom_length(token, at);
  };
  const auto number = [](std::string_view atom) {
    if (atom.size() == 1) return size_t{0x110000} + static_cast<uint8_t>(atom[0]);
    size_t at = 0;
    return size_t{next_point(atom, at)};
  };
  const size_t count = vocabulary.tokens.size();
  for (size_t i = 0; i < count; ++i) {
    const std::string_view token = vocabulary.tokens[i];
    if (!token.empty() && length_at(token, 0) == token.size()) known[number(token)] = true;
  }
  for (size_t i = 0; i < count; ++i)
    for (size_t at = 0, length; at < vocabulary.tokens[i].size(); at += length) {
      const std::string_view token = vocabulary.tokens[i];
      length = length_at(token, at);
      const std::string_view atom = token.substr(at, length);
      if (known[number(atom)]) continue;
      known[number(atom)] = true;
      vocabulary.tokens.push_back(std::string(atom));
      vocabulary.ids.push_back(-1);
    }
}

}  // namespace

Bpe::Bpe(BpeVocabulary vocabulary, BpeOptions options, size_t merge_count)
    : options_(std::move(options)), index_(std::move(vocabulary.tokens)), symbols_(index_.size()),
      ids_(std::move(vocabulary.ids)) {
  std::iota(symbols_.begin(), symbols_.end(), 0u);
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

// The token that a merge makes. As in the reference the right part loses as many bytes as the
// prefix has characters. Tokens mostly come in the order of their merges: `guess` is looked at
// first.
uint32_t Bpe::find_merged(TokenPair pair, uint32_t rank, uint32_t guess, std::string& text) const {
  const std::string_view left = index_.text(pair.left), right = index_.text(pair.right);
  check(right.size() >= prefix_length_, "Bpe: merge ('", left, "', '", right,
        "'): the right part is shorter than the prefix '", options_.continuing_prefix, "'");
  text.assign(left).append(right, prefix_length_);
  if (guess < index_.size() && index_.text(guess) == text && !index_.has_equal_tokens())
    return guess;
  const uint32_t found = index_.find(text);
  check(found != TokenIndex::kNone, "Bpe: merge ", rank, " ('", left, "', '", right, "'): '", text,
        "' is not in the vocabulary");
  return found;
}

std::unique_ptr<Bpe> Bpe::from_merges(BpeVocabulary vocabulary,
                                      const std::vector<TokenPair>& merges, BpeOptions options) {
  check_vocabulary(vocabulary);
  std::unique_ptr<Bpe> bpe(new Bpe(std::move(vocabulary), std::move(options), merges.size()));
  uint32_t merged = 0;
  std::string text;
  for (uint32_t rank = 0; rank < merges.size(); ++rank) {
    const TokenPair& pair = merges[rank];
    check(std::max(pair.left, pair.right) < bpe->index_.size(), "Bpe: merge ", rank,
          " is of a token beyond the ", bpe->index_.size(), " there are");
    merged = bpe->find_merged(pair, rank, merged + 1, text);
    bpe->order_.push_back({pair.left, pair.right, rank, merged});
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
  const size_t count = vocabulary.tokens.size();
  add_missing_atoms(vocabulary, options.atoms);
  std::unique_ptr<Bpe> bpe(new Bpe(std::move(vocabulary), std::move(options), count));
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
  bpe->tied_ = tied;
  bpe->ranks_ = std::move(ranks);
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
  list_seams();
  if (splits_->regular() && merges_.listed()) renumber(splits_->made());
  std::vector<Merge>().swap(order_);
  list_characters();
  if (byte_pairs_.empty()) return;
  for (size_t left = 0; left < 256; ++left)
    for (size_t right = 0; right < 256; ++right)
      if (bytes_[left] != kNone && bytes_[right] != kNone)
        byte_pairs_[left << 8 | right] = merges_.rank(bytes_[left], bytes_[right]);
}

// Only where all characters that are no symbols go their own way: byte by byte.
void Bpe::list_characters() {
  if (options_.atoms != Atoms::characters || has_affixes() || derived_) return;
  characters_.assign(kTabled, kNone);
  for (uint32_t token = 0; token < index_.size(); ++token) {
    const std::string_view text = index_.text(token);
    if (text.size() < 2 || atom_length(text, 0) != text.size()) continue;
    size_t at = 0;
    const uint32_t point = next_point(text, at);
    if (point < kTabled) characters_[point] = find_symbol(text);
  }
}

// Not where a word may be more than its merges, or where atoms are dropped and places move. One
// side has to be known; the other may be a byte's token. Unknown atoms wait for a known one, so
// that they may stand between the two, which matters where they merge.
void Bpe::list_seams() {
  if (options_.atoms != Atoms::characters || has_affixes() || options_.ignore_merges) return;
  if (unknown_ == kNone && !derived_) return;
  std::vector<bool> merges(ids_.size()), joined(256 * 256);
  for (const Merge& merge : order_) merges[merge.left] = merges[merge.right] = true;
  for (uint32_t token = 0; token < index_.size(); ++token) {
    const std::string_view text = index_.text(token);
    for (size_t at = 0; at + 1 < text.size(); ++at) joined[byte_pair(text, at)] = true;
  }
  const auto known = [&](size_t byte) {
    const uint32_t symbol = bytes_[byte];
    return symbol != kNone && symbol != unknown_ && ids_[symbol] >= 0;
  };
  const auto lone = [&](size_t byte) {
    return bytes_[byte] == kNone && fallback_[byte] != kNone && !merges[fallback_[byte]];
  };
  const bool unknown_merges = unknown_ != kNone && merges[unknown_];
  const auto separate = [&](size_t left, size_t right) {
    if (known(left) && known(right)) return !joined[left << 8 | right];
    return (known(left) && lone(right)) || (lone(left) && known(right) && !unknown_merges);
  };
  for (size_t left = 0; left < 0x80; ++left)
    for (size_t right = 0; right < 0x80; ++right)
      if (separate(left, right)) seams_.add(left, right);
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

  if (!derived_ && made.size() < order_.size())
    for (const auto& [left, right, rank, merged] : order_)
      listed_.push_back({number[left], number[right], rank, number[merged]});

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
