// The "Precompiled" normalizer of the tokenizers library: sentencepiece's character map applied to
// grapheme clusters.
//
// A cluster of less than 6 bytes is looked up as a whole, and the SHORTEST entry that it begins
// with replaces all of it; so an accent behind a replaced character may vanish. Where there is no
// entry, and in longer clusters, each character is looked up. sentencepiece itself takes the
// longest entry anywhere: see sentencepiece_normalizer.hpp.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/charsmap.hpp"

namespace lowbit::tokenizers {

// For every byte of a normalised text the bytes of the source that it comes from.
struct Origins {
  std::vector<uint32_t> begin, end;
};

class Precompiled {
 public:
  explicit Precompiled(std::string_view charsmap);

  // Appends the normalised text and, if asked, the origins as the library tells them. The text is
  // valid UTF-8 of less than 4 GB.
  void normalize(std::string_view text, std::string& out, Origins* origins = nullptr) const;

  // As Step has them.
  bool apply_to_word(std::string& word) const { return plain_end(word, 0) == word.size(); }
  bool takes_alone(char) const { return true; }

 private:
  size_t plain_end(std::string_view text, size_t at) const;

  CharsMap map_;
  // Characters that stay as they are in front of ASCII and of each other.
  std::bitset<0x10000> plain_;
};

}  // namespace lowbit::tokenizers
