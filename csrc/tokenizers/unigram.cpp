#include "tokenizers/unigram.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "tokenizers/byte_alphabet.hpp"
#include "tokenizers/unicode.hpp"
#include "tokenizers/unigram_search.hpp"

namespace lowbit::tokenizers {
namespace {

constexpr double kUnknownPenalty = 10;

// Longer words are not worth the search that tells their margin.
constexpr size_t kLongestWithMargin = 256;

void check_arguments(const StringTable& tokens, const std::vector<double>& scores,
                     const UnigramOptions& options) {
  check(tokens.size() == scores.size(), "Unigram: ", tokens.size(), " tokens but ", scores.size(),
        " scores");
  check(options.types.empty() || options.types.size() == tokens.size(), "Unigram: ",
        tokens.size(), " tokens but ", options.types.size(), " types");
  check(options.unknown_id >= -1 && options.unknown_id < static_cast<int64_t>(tokens.size()),
        "Unigram: unknown_id is ", options.unknown_id, " but there are ", tokens.size(), " tokens");
  for (size_t i = 0; i < scores.size(); ++i)
    check(std::abs(scores[i]) <= std::numeric_limits<float>::max(), "Unigram: the score of token ",
          i, " is ", scores[i], ", which is no number of float32's range");
}

PieceType type_of(const UnigramOptions& options, size_t id) {
  return options.types.empty() ? PieceType::normal : options.types[id];
}

// tokenizers spells with all tokens; sentencepiece leaves out those that no text should give.
std::vector<DoubleArray::Entry> spellable(const StringTable& tokens,
                                          const std::vector<double>& scores,
                                          const UnigramOptions& options) {
  std::vector<DoubleArray::Entry> entries;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const PieceType type = type_of(options, i);
    if (options.mode == UnigramMode::tokenizers || type == PieceType::normal ||
        type == PieceType::user_defined)
      entries.push_back({tokens[i], static_cast<int32_t>(i), std::exp(std::min(scores[i], 0.0))});
  }
  return entries;
}

}  // namespace

Unigram::Unigram(const StringTable& tokens, const std::vector<double>& scores,
                 UnigramOptions options)
    : options_((check_arguments(tokens, scores, options), std::move(options))),
      trie_(spellable(tokens, scores, options_)),
      scores_(scores) {
  scores_.insert(scores_.begin(), -std::numeric_limits<double>::infinity());
  double lowest = std::numeric_limits<float>::max();
  for (size_t i = 0; i < tokens.size(); ++i) {
    const PieceType type = type_of(options_, i);
    double& score = scores_[i + 1];
    if (sentencepiece()) score = static_cast<float>(score);
    if (!sentencepiece() || type == PieceType::normal) lowest = std::min(lowest, score);
    if (sentencepiece() && type == PieceType::user_defined)
      score = user_defined_score(tokens[i].size());
    largest_score_ = std::max(largest_score_, std::abs(score));
  }
  unknown_score_ = lowest - kUnknownPenalty;
  if (sentencepiece()) unknown_score_ = static_cast<float>(unknown_score_);
  largest_score_ = std::max(largest_score_, std::abs(unknown_score_));
  find_bytes(tokens);
  find_cut(spellable(tokens, scores, options_));
}

void Unigram::find_bytes(const StringTable& tokens) {
  byte_ids_.fill(-1);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (sentencepiece() && type_of(options_, i) != PieceType::byte) continue;
    const int byte = fallback_byte(tokens[i], false);
    if (byte >= 0) byte_ids_[byte] = static_cast<int32_t>(i);
  }
}

// A space has to be a token itself: unknown, it would join the unknown characters before it.
void Unigram::find_cut(const std::vector<DoubleArray::Entry>& entries) {
  if (trie_.find(kMetaspace) == DoubleArray::kNone) return;
  bool space_behind = false, space_before = false;  // another character, within a token
  for (const auto& [text, id, weight] : entries) {
    bool previous = false;
    for (size_t at = 0; at < text.size(); at += character_length(text, at)) {
      const bool space = text.substr(at).starts_with(kMetaspace);
      if (at > 0) {
        space_behind |= space && !previous;
        space_before |= !space && previous;
      }
      previous = space;
    }
  }
  if (!space_behind)
    cut_ = Cut::before_spaces;
  else if (!space_before)
    cut_ = Cut::behind_spaces;
}

void Unigram::encode(std::string_view word, std::vector<Piece>& pieces) const {
  total_behind(word, 0, pieces);
}

double Unigram::encode_ids(std::string_view word, double total, IdBuffer& ids) const {
  std::vector<Piece> pieces;
  const double sum = total_behind(word, total, pieces, &ids);
  append_ids(pieces, ids);
  return sum;
}

double Unigram::total_behind(std::string_view word, double total, std::vector<Piece>& pieces,
                             IdBuffer* ids) const {
  check(word.size() <= INT32_MAX, "Unigram: a word has ", word.size(), " bytes; at most ",
        INT32_MAX, " are possible");
  const size_t first = pieces.size();
  const auto run = [&](auto&& search, auto start) {
    const auto sum = search.run(start);
    if (search.met_unknown()) resolve_unknown(word, first, pieces);
    return static_cast<double>(sum);
  };
  if (sentencepiece())
    return run(UnigramSearch<float, false>(*this, word, pieces, ids), static_cast<float>(total));
  return run(UnigramSearch<double, false>(*this, word, pieces, ids), total);
}

Margin Unigram::encode(std::string_view word, double& total, std::vector<Piece>& pieces) const {
  if (word.size() > kLongestWithMargin) {
    total = total_behind(word, total, pieces);
    return {};
  }
  const size_t first = pieces.size();
  UnigramSearch<double, true> search(*this, word, pieces);
  search.run(0);
  const Margin margin = search.margin();
  // Ids tell the sum as long as each stands for one step: unknown characters are still apart here,
  // but a token of tokenizers may have the unknown id and a score of its own.
  const bool known = !search.met_unknown();
  if ((known || sentencepiece()) && holds(margin, total)) {
    for (size_t i = first; i < pieces.size(); ++i) total = advance(total, {&pieces[i].id, 1});
    if (!known) resolve_unknown(word, first, pieces);
  } else {
    pieces.resize(first);
    total = total_behind(word, total, pieces);
  }
  return known ? margin : Margin{};
}

// A sum of k scores behind `total` is off by at most k * u * (|total| + reach), where u is half the
// spacing of numbers just above 1; so a step whose gap is more than twice that, for no more tokens
// than characters, is the best one in these sums as well. The rest is allowance for the sums that
// the margin was computed from.
bool Unigram::holds(const Margin& margin, double total) const {
  constexpr double kLargest = 99999;  // below the place where sentencepiece starts again from 0
  const double size = std::abs(total) + margin.reach;
  if (!sentencepiece()) return margin.gap > 0x1p-50 * size;
  return margin.gap > 0x1p-22 * size && size < kLargest;
}

double Unigram::advance(double total, std::span<const int32_t> ids) const {
  if (!sentencepiece()) {
    for (const int32_t id : ids) total += scores_[id + 1];
    return total;
  }
  auto sum = static_cast<float>(total);
  for (const int32_t id : ids) {
    const bool known = id != options_.unknown_id;
    sum += static_cast<float>(known ? scores_[id + 1] : unknown_score_);
  }
  return sum;
}

void Unigram::resolve_unknown(std::string_view word, size_t first,
                              std::vector<Piece>& pieces) const {
  const std::vector<Piece> found(pieces.begin() + static_cast<ptrdiff_t>(first), pieces.end());
  pieces.resize(first);
  const bool fuses = !(sentencepiece() && options_.byte_fallback);
  for (size_t i = 0; i < found.size();) {
    Piece piece = found[i++];
    if (piece.id != options_.unknown_id) {
      pieces.push_back(piece);
      continue;
    }
    for (; fuses && i < found.size() && found[i].id == options_.unknown_id; ++i)
      piece.end = found[i].end;
    // Unknown characters may be a token together, one that scores even worse.
    const auto text = word.substr(static_cast<size_t>(piece.begin),
                                  static_cast<size_t>(piece.end - piece.begin));
    const int32_t known = sentencepiece() ? DoubleArray::kNone : trie_.find(text);
    if (known != DoubleArray::kNone)
      pieces.push_back({known, piece.begin, piece.end});
    else
      append_bytes(word, piece, pieces);
  }
}

// Each byte stands for the whole of its character in tokenizers; in sentencepiece the last one
// does, and those before it for the empty place where it begins.
void Unigram::append_bytes(std::string_view word, Piece unknown, std::vector<Piece>& pieces) const {
  bool complete = options_.byte_fallback;
  const auto id_at = [&](int32_t at) { return byte_ids_[static_cast<uint8_t>(word[at])]; };
  for (int32_t at = unknown.begin; at < unknown.end; ++at) complete = complete && id_at(at) >= 0;
  if (!complete) {
    if (unknown.id >= 0) pieces.push_back(unknown);
    return;
  }
  for (int32_t at = unknown.begin; at < unknown.end; ++at) {
    const bool empty = sentencepiece() && at + 1 < unknown.end;
    pieces.push_back({id_at(at), unknown.begin, empty ? unknown.begin : unknown.end});
  }
}

}  // namespace lowbit::tokenizers
