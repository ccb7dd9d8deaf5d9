// Philox4x32-10 (Salmon et al., 2011): a random word is a function of (seed, position) alone, so a
// dropout mask is the same for any number of threads and need not be kept for the backward pass.
#pragma once

#include <cstdint>

namespace lowbit {

struct Philox {
  uint32_t word[4];

  Philox(uint64_t seed, uint64_t counter) {
    uint32_t key0 = static_cast<uint32_t>(seed), key1 = static_cast<uint32_t>(seed >> 32);
    uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32);
    uint32_t c2 = 0, c3 = 0;
    for (int round = 0; round < 10; ++round) {
      const uint64_t product0 = uint64_t{0xD2511F53u} * c0;
      const uint64_t product1 = uint64_t{0xCD9E8D57u} * c2;
      const uint32_t next0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
      const uint32_t next2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
      c1 = static_cast<uint32_t>(product1);
      c3 = static_cast<uint32_t>(product0);
      c0 = next0;
      c2 = next2;
      key0 += 0x9E3779B9u;
      key1 += 0xBB67AE85u;
    }
    word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
  }
};

// Where the words of one mask come from: element i of the mask uses word (i % 4) of the block
// counter/4 + i/4. `counter` is a multiple of 4.
struct DropoutMask {
  float probability = 0;  // of a zero
  uint64_t seed = 0;
  uint64_t counter = 0;

  bool active() const { return probability > 0; }
  float keep_scale() const { return 1.0f / (1.0f - probability); }
  // Of the 2^24 values a word's top bits can take, those below this one drop the element.
  uint32_t threshold() const { return static_cast<uint32_t>(probability * 16777216.0f); }
};

// Calls use(i, keep) for every element in [begin, end).
template <class Use>
inline void for_each_kept(const DropoutMask& mask, int64_t begin, int64_t end, Use&& use) {
  const uint32_t threshold = mask.threshold();
  for (int64_t i = begin; i < end;) {
    const uint64_t position = mask.counter + static_cast<uint64_t>(i);
    const Philox block(mask.seed, position / 4);
    for (int lane = static_cast<int>(position % 4); lane < 4 && i < end; ++lane, ++i)
      use(i, (block.word[lane] >> 8) >= threshold);
  }
}

}  // namespace lowbit
