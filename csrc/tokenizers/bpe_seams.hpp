// Places inside words that no merge reaches across.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lowbit::tokenizers {

// Between two bytes of ASCII that no token has side by side: what is before and what is behind is
// encoded as if it stood alone. Most new words are known words joined to marks, digits or line
// ends, so that little is left to merge.
class Seams {
 public:
  void add(size_t left, size_t right) {
    between_.set(left << 8 | right);
    any_ = true;
  }

  // Where the stretch that begins at `begin` ends.
  size_t end(std::string_view word, size_t begin) const {
    if (!any_) return word.size();
    size_t at = begin + 1;
    while (at < word.size() && !between_[pair(word, at - 1)]) ++at;
    return at;
  }

 private:
  static size_t pair(std::string_view text, size_t at) {
    return static_cast<size_t>(static_cast<uint8_t>(text[at])) << 8 |
           static_cast<uint8_t>(text[at + 1]);
  }

  std::bitset<256 * 256> between_;
  bool any_ = false;
};

}  // namespace lowbit::tokenizers
