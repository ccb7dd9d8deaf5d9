#include "tokenizers/bpe.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "tokenizers/bpe_chunks.hpp"
#include "tokenizers/unicode.hpp"
#include "tokenizers/utf8_atoms.hpp"

namespace lowbit::tokenizers {
namespace {

// Symbols of a word behind the ids of those before it.
class SymbolStack {
 public:
  explicit SymbolStack(IdBuffer& ids) : ids_(ids), first_(ids.size()) {}
  bool empty() const { return ids_.size() == first_; }
  uint32_t back() const { return static_cast<uint32_t>(ids_.ids().back()); }
  void push_back(uint32_t symbol) {
    *ids_.room(1) = static_cast<int32_t>(symbol);
    ids_.advance(1);
  }
  void pop_back() { ids_.shrink(ids_.size() - 1); }
  void replace(const std::vector<int32_t>& by_symbol) {
    const size_t count = ids_.size() - first_;
    ids_.shrink(first_);
    int32_t* symbols = ids_.room(count);
    for (size_t i = 0; i < count; ++i) symbols[i] = by_symbol[static_cast<size_t>(symbols[i])];
    ids_.advance(count);
  }

 private:
  IdBuffer& ids_;
  size_t first_;
};

}  // namespace

void Bpe::encode(std::string_view word, std::vector<Piece>& pieces) const {
  if (word.empty()) return;
  check_length(word);
  if (const int32_t id = whole_word(word); id >= 0)
    return pieces.push_back({id, 0, static_cast<int32_t>(word.size())});
  for (size_t begin = 0, end; begin < word.size(); begin = end) {
    end = seams_.end(word, begin);
    const size_t before = pieces.size();
    encode_stretch(word.substr(begin, end - begin), end - begin < word.size(), pieces);
    if (begin == 0) continue;
    for (size_t i = before; i < pieces.size(); ++i) {
      pieces[i].begin += static_cast<int32_t>(begin);
      pieces[i].end += static_cast<int32_t>(begin);
    }
  }
}

void Bpe::encode_stretch(std::string_view text, bool may_be_whole,
                         std::vector<Piece>& pieces) const {
  if (const int32_t id = may_be_whole ? whole_word(text) : -1; id >= 0)
    return pieces.push_back({id, 0, static_cast<int32_t>(text.size())});
  if (encode_short(text, pieces)) return;
  std::vector<Part> parts;
  parts.reserve(text.size());
  split_into_atoms(text, parts);
  const size_t count = merge(parts.data(), parts.size());
  append(text, parts.data(), count, pieces);
}

void Bpe::encode_ids(std::string_view word, IdBuffer& ids) const {
  if (word.size() <= longest_) return Model::encode_ids(word, ids);
  check_length(word);
  std::vector<Piece> pieces;
  for (size_t begin = 0, end; begin < word.size(); begin = end) {
    end = seams_.end(word, begin);
    const std::string_view stretch = word.substr(begin, end - begin);
    if (encode_bytes(stretch, ids)) continue;
    pieces.clear();
    encode_stretch(stretch, stretch.size() < word.size(), pieces);
    append_ids(pieces, ids);
  }
}

// Very long words of known bytes, in no more memory than that of their ids; false for others.
bool Bpe::encode_bytes(std::string_view text, IdBuffer& ids) const {
  if (text.size() < kVeryLong || text.size() <= longest_ || byte_pairs_.empty()) return false;
  if (!splits_ || !splits_->regular()) return false;
  const auto symbol_at = [&](size_t i) { return bytes_[static_cast<uint8_t>(text[i])]; };
  for (size_t i = 0; i < text.size(); ++i)
    if (symbol_at(i) == kNone || ids_[symbol_at(i)] < 0) return false;
  const LongWords* words = long_words();
  if (!words) return false;
  SymbolStack symbols(ids);
  words->spell(symbol_at, text.size(), symbols);
  symbols.replace(ids_);
  return true;
}

void Bpe::check_length(std::string_view word) {
  check(word.size() <= INT32_MAX, "Bpe.encode: a word has ", word.size(),
        " bytes, at most 2 GB fit");
}

int32_t Bpe::whole_word(std::string_view word) const {
  if (word.size() <= WordKey::kMaxBytes) return whole_words_.find(word);
  if (word.size() > longest_) return -1;
  const uint32_t number = index_.find(word);
  return number != TokenIndex::kNone && whole_[number] ? ids_[symbols_[number]] : -1;
}

// Short words of single bytes that are all symbols, with their ranks; 0 for other words.
size_t Bpe::split_into_bytes(std::string_view word, Part* parts) const {
  if (byte_pairs_.empty() || word.size() > kShortWord) return 0;
  for (size_t i = 0; i < word.size(); ++i) {
    const uint32_t symbol = bytes_[static_cast<uint8_t>(word[i])];
    if (symbol == kNone) return 0;
    const uint32_t rank = i + 1 < word.size() ? byte_pairs_[byte_pair(word, i)] : kNone;
    const auto at = static_cast<int32_t>(i);
    parts[i] = {rank, symbol, at, at + 1};
  }
  return word.size();
}

// The same for words of characters that are symbols, or bytes that have tokens.
size_t Bpe::split_into_characters(std::string_view word, Part* parts) const {
  if (characters_.empty()) return 0;
  size_t count = 0;
  for (size_t at = 0, length; at < word.size(); at += length) {
    length = atom_length(word, at);
    const auto byte_at = [&](size_t i) { return static_cast<uint8_t>(word[at + i]); };
    const uint32_t symbol = length == 1 ? bytes_[byte_at(0)] : find_character(word, at, length);
    const bool known = symbol != kNone;
    const size_t added = known ? 1 : length;
    if (count + added > kShortWord) return 0;
    for (size_t i = 0; i < added; ++i) {
      const auto begin = static_cast<int32_t>(at + i);
      const auto end = known ? static_cast<int32_t>(at + length) : begin + 1;
      parts[count] = {kNone, known ? symbol : fallback_[byte_at(i)], begin, end};
      if (parts[count++].symbol == kNone) return 0;
    }
  }
  rank_parts(merges_, parts, count);
  return count;
}

uint32_t Bpe::find_character(std::string_view word, size_t at, size_t length) const {
  size_t end = at;
  const uint32_t point = next_point(word, end);
  return point < characters_.size() ? characters_[point] : find_symbol(word.substr(at, length));
}

// The way of nearly all words. False for others.
bool Bpe::encode_short(std::string_view word, std::vector<Piece>& pieces) const {
  if (!(derived_ || splits_->regular())) return false;
  Part parts[kShortWord];
  const size_t bytes = split_into_bytes(word, parts);
  const size_t count = bytes > 0 ? bytes : split_into_characters(word, parts);
  if (count == 0) return false;
  append(word, parts, merge_short(merges_, parts, count), pieces);
  return true;
}

size_t Bpe::merge(Part* parts, size_t count) const {
  const bool regular = splits_ && splits_->regular();
  if (count <= kShortWord && (derived_ || regular)) {
    rank_parts(merges_, parts, count);
    return merge_short(merges_, parts, count);
  }
  if (!regular) return merge_by_heap(merges_, parts, count, {});
  // Of very long words the trie pays off, and chunks would be slow where tokens are long.
  if (count < kVeryLong)
    if (const size_t merged = merge_in_chunks(merges_, *splits_, parts, count)) return merged;
  if (const LongWords* words = long_words()) return words->merge(parts, count);
  if (const size_t merged = merge_in_chunks(merges_, *splits_, parts, count)) return merged;
  return merge_by_heap(merges_, parts, count, {});
}

// Built when the first word needs it; null when it cannot be used.
const LongWords* Bpe::long_words() const {
  std::call_once(long_words_once_,
                 [&] { long_words_ = std::make_unique<LongWords>(*splits_, ids_.size()); });
  return long_words_->usable() ? long_words_.get() : nullptr;
}

// False where a byte is no symbol: then nothing is added.
bool Bpe::split_into_known_bytes(std::string_view word, std::vector<Part>& parts) const {
  if (byte_pairs_.empty()) return false;
  const size_t before = parts.size();
  int32_t at = 0;
  for (const char byte : word) {
    const uint32_t symbol = bytes_[static_cast<uint8_t>(byte)];
    if (symbol == kNone) break;
    parts.push_back({kNone, symbol, at, at + 1});
    ++at;
  }
  if (static_cast<size_t>(at) == word.size()) return true;
  parts.resize(before);
  return false;
}

void Bpe::split_into_atoms(std::string_view word, std::vector<Part>& parts) const {
  if (split_into_known_bytes(word, parts)) return;
  if (!derived_) return split_by_reference(word, parts);
  const uint32_t unspelled = symbols_.back();
  for (size_t at = 0, length; at < word.size(); at += length) {
    length = options_.atoms == Atoms::bytes ? 1 : atom_length(word, at);
    const uint32_t found = length == 1 ? bytes_[static_cast<uint8_t>(word[at])]
                                       : find_symbol(word.substr(at, length));
    const uint32_t symbol = found == kNone ? unspelled : found;
    parts.push_back({kNone, symbol, static_cast<int32_t>(at), static_cast<int32_t>(at + length)});
  }
}

// The atom as the vocabulary has it, with the affixes of its place, is left in `text`.
uint32_t Bpe::find_atom(std::string_view word, size_t at, size_t length, std::string& text) const {
  if (length == 1 && !has_affixes()) {
    text.assign(1, word[at]);
    return bytes_[static_cast<uint8_t>(word[at])];
  }
  text.assign(at > 0 ? options_.continuing_prefix : "").append(word, at, length);
  if (at + length == word.size()) text += options_.end_of_word_suffix;
  return find_symbol(text);
}

// Hugging Face's rules to the letter. Unknown atoms wait for the next known one, so that bytes
// which come in between stand before them; and places are sums of lengths, so that dropped atoms
// do not count.
void Bpe::split_by_reference(std::string_view word, std::vector<Part>& parts) const {
  int32_t at = 0;
  const auto add = [&](uint32_t symbol, int32_t length) {
    parts.push_back({kNone, symbol, at, at + length});
    at += length;
  };
  int32_t unknown_length = 0;
  const auto add_unknown = [&] {
    if (unknown_length > 0) add(unknown_, unknown_length);
    unknown_length = 0;
  };
  std::string text;
  for (size_t i = 0, length; i < word.size(); i += length) {
    length = options_.atoms == Atoms::bytes ? 1 : atom_length(word, i);
    const uint32_t symbol = find_atom(word, i, length, text);
    const auto has_token = [&](char byte) {
      return fallback_[static_cast<uint8_t>(byte)] != kNone;
    };
    if (symbol != kNone) {
      add_unknown();
      add(symbol, static_cast<int32_t>(length));
    } else if (options_.byte_fallback && std::all_of(text.begin(), text.end(), has_token)) {
      for (const char byte : text) add(fallback_[static_cast<uint8_t>(byte)], 1);
    } else if (unknown_ != kNone) {
      if (!options_.fuse_unknown) add_unknown();
      unknown_length += static_cast<int32_t>(length);
    }
  }
  add_unknown();
}

void Bpe::append(std::string_view word, const Part* parts, size_t count,
                 std::vector<Piece>& pieces) const {
  const auto size = static_cast<int32_t>(word.size());
  const size_t before = pieces.size();
  for (size_t i = 0; i < count; ++i) {
    const auto [rank, symbol, begin, end] = parts[i];
    if (ids_[symbol] >= 0) {
      pieces.push_back({ids_[symbol], std::min(begin, size), std::min(end, size)});
      continue;
    }
    const auto has_token = [&](char byte) {
      return fallback_[static_cast<uint8_t>(byte)] != kNone;
    };
    const std::string_view text = word.substr(begin, end - begin);
    if (options_.byte_fallback && std::all_of(text.begin(), text.end(), has_token)) {
      for (int32_t at = begin; at < end; ++at)
        pieces.push_back({ids_[fallback_[static_cast<uint8_t>(word[at])]], at, at + 1});
    } else if (unknown_ != kNone) {
      const bool joins = options_.fuse_unknown && pieces.size() > before &&
                         pieces.back().id == ids_[unknown_] && pieces.back().end == begin;
      if (joins) pieces.back().end = end;
      else pieces.push_back({ids_[unknown_], begin, end});
    }
  }
}

}  // namespace lowbit::tokenizers
