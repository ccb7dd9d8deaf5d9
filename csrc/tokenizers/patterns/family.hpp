// The patterns of the families: words from bit masks where a text is ASCII, else by the scanner.
#pragma once

#include <algorithm>

#include "ops/dispatch.hpp"
#include "tokenizers/pattern.hpp"
#include "tokenizers/patterns/family_scanner.hpp"
#include "tokenizers/patterns/family_starts.hpp"
#include "tokenizers/patterns/word_buffer.hpp"

namespace lowbit::tokenizers {

// One pass over one text.
template <Family family>
class FamilySearch {
 public:
  FamilySearch(std::string_view text, std::vector<Span>& matches)
      : text_(text), scanner_(text), words_(matches) {}

  void run() {
    const auto classify = ops::kernels().classify;
    const auto* bytes = reinterpret_cast<const uint8_t*>(text_.data());
    ByteMasks masks[kChunk + 1];
    // The last block that is looked at has another behind it, and so have the bytes it asks about.
    const size_t blocks = std::max<size_t>(text_.size() / kMaskBytes, 1) - 1;
    for (size_t first = 0; first < blocks; first += kChunk) {
      const size_t count = std::min(kChunk, blocks - first);
      classify({bytes + first * kMaskBytes, static_cast<int64_t>(count + 1), masks});
      for (size_t i = 0; i < count; ++i)
        search_block((first + i) * kMaskBytes, masks[i], masks[i + 1]);
      words_.flush();
    }
    scan_to(text_.size());
    words_.flush();
  }

 private:
  static constexpr size_t kChunk = 16;

  void search_block(size_t begin, const ByteMasks& block, const ByteMasks& following) {
    const bool plain = starts_.advance(text_, begin, block, following);
    uint64_t bits = starts_.starts();
    // Behind a word of the scanner's, the masks hold from the first place where both see a start.
    for (; plain && !agreed_ && words_.open() < begin + kMaskBytes; scan()) {
      agreed_ = bits >> (words_.open() - begin) & 1;
      if (agreed_) break;
    }
    if (!plain || !agreed_) {
      agreed_ = false;
      return scan_to(begin + kMaskBytes);
    }
    if (words_.open() >= begin) bits &= ~uint64_t{1} << (words_.open() - begin);
    words_.end_at_bits(bits, begin);
  }

  void scan() { words_.end_at(scanner_.next(words_.open())); }
  [[gnu::noinline]] void scan_to(size_t end) {
    while (words_.open() < end) scan();
  }

  std::string_view text_;
  FamilyScanner<family> scanner_;
  FamilyStarts<family> starts_;
  WordBuffer<(kChunk + 2) * kMaskBytes> words_;
  bool agreed_ = true;  // the masks tell where the open word ends
};

template <Family family>
class FamilyPattern final : public Pattern {
 public:
  void find(std::string_view text, std::vector<Span>& matches) const override {
    FamilySearch<family>(text, matches).run();
  }
  bool covers() const override { return true; }
};

}  // namespace lowbit::tokenizers
