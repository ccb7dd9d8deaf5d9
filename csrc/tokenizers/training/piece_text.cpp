#include "tokenizers/training/piece_text.hpp"

#include <limits>

#include "core/error.hpp"
#include "tokenizers/training/packed_character.hpp"

namespace lowbit::tokenizers {
namespace {

// Of the text; more threads than this have nothing to do.
constexpr size_t kMostParts = 16;
constexpr size_t kPlacesAPart = size_t{1} << 17;

// The most frequent characters that make up `coverage` of all.
std::vector<Packed> covering_characters(const std::vector<CountedWord>& words, double coverage,
                                        const std::vector<std::string>& required) {
  constexpr int64_t kRequired = std::numeric_limits<int64_t>::max();
  CharacterMap<int64_t> counts;
  int64_t total = 0;
  for (const CountedWord& word : words)
    for (size_t at = 0; at < word.bytes.size(); total += word.count)
      counts[next_packed(word.bytes, at)] += word.count;
  for (const std::string& text : required)
    for (size_t at = 0; at < text.size();) counts[next_packed(text, at)] = kRequired;
  std::vector<Packed> kept = counts.characters();
  std::sort(kept.begin(), kept.end(), [&](Packed a, Packed b) {
    return counts[a] != counts[b] ? counts[a] > counts[b] : a < b;
  });
  int64_t covered = 0;
  size_t used = 0;
  for (; used < kept.size(); ++used) {
    const int64_t count = counts[kept[used]];
    if (count == kRequired) continue;
    if (static_cast<double>(covered) >= coverage * static_cast<double>(total)) break;
    covered += count;
  }
  kept.resize(used);
  std::sort(kept.begin(), kept.end());
  return kept;
}

// The segments in the order of the words; nothing is shared yet.
void read_segments(const std::vector<CountedWord>& words, CharacterMap<uint32_t>& numbers,
                   PieceText& text) {
  text.symbols.push_back(PieceText::kBoundary);
  for (const CountedWord& word : words) {
    auto close = [&, begin = static_cast<uint32_t>(text.symbols.size())]() mutable {
      const auto end = static_cast<uint32_t>(text.symbols.size());
      if (begin == end) return;
      text.segments.push_back({begin, end, 0, word.count});
      text.symbols.push_back(PieceText::kBoundary);
      begin = end + 1;
    };
    for (size_t at = 0; at < word.bytes.size();) {
      if (const uint32_t number = numbers[next_packed(word.bytes, at)]) {
        text.symbols.push_back(number);
      } else {
        close();
      }
    }
    close();
    check(text.symbols.size() < UINT32_MAX / 2,
          "UnigramTrainer: the distinct words have more than ", UINT32_MAX / 2,
          " characters: train on a part of them");
  }
}

void sort_segments(PieceText& text) {
  struct Key {
    uint64_t digits;
    const PieceText::Segment* segment;
  };
  const CharacterDigits digits(text, UINT32_MAX);
  const uint32_t* const symbols = text.symbols.data();
  std::vector<Key> keys;
  for (const PieceText::Segment& segment : text.segments)
    keys.push_back({digits.read(symbols + segment.begin, 1, UINT32_MAX), &segment});
  std::sort(keys.begin(), keys.end(), [&](const Key& a, const Key& b) {
    if (a.digits != b.digits) return a.digits < b.digits;
    return std::lexicographical_compare(symbols + a.segment->begin, symbols + a.segment->end,
                                        symbols + b.segment->begin, symbols + b.segment->end);
  });
  std::vector<PieceText::Segment> segments;
  std::vector<uint32_t> sorted{PieceText::kBoundary};
  for (const Key& key : keys) {
    const auto begin = static_cast<uint32_t>(sorted.size());
    sorted.insert(sorted.end(), symbols + key.segment->begin, symbols + key.segment->end + 1);
    segments.push_back({begin, static_cast<uint32_t>(sorted.size() - 1), 0, key.segment->count});
  }
  text.symbols = std::move(sorted);
  text.segments = std::move(segments);
}

void share_beginnings(PieceText& text) {
  const size_t parts = std::clamp(text.symbols.size() / kPlacesAPart, size_t{1}, kMostParts);
  for (size_t i = 0; i < text.segments.size(); ++i) {
    PieceText::Segment& segment = text.segments[i];
    if (segment.begin >= text.symbols.size() * text.parts.size() / parts) {
      text.parts.push_back({i, i + 1});
      continue;
    }
    text.parts.back().last = i + 1;
    const uint32_t* const symbol = &text.symbols[segment.begin];
    const uint32_t* const before = &text.symbols[text.segments[i - 1].begin];
    while (symbol[segment.shared] == before[segment.shared] &&
           symbol[segment.shared] != PieceText::kBoundary)
      ++segment.shared;
  }
}

}  // namespace

PieceText read_characters(const std::vector<CountedWord>& words, double coverage,
                          const std::vector<std::string>& required) {
  PieceText text;
  text.characters.emplace_back();
  CharacterMap<uint32_t> numbers;
  for (const Packed character : covering_characters(words, coverage, required)) {
    numbers[character] = static_cast<uint32_t>(text.characters.size());
    text.characters.push_back(unpack(character));
  }
  read_segments(words, numbers, text);
  sort_segments(text);
  share_beginnings(text);
  return text;
}

}  // namespace lowbit::tokenizers
