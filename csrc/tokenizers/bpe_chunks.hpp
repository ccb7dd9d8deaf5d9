// Encodes long words of a regular vocabulary chunk by chunk.
#pragma once

#include "tokenizers/bpe_splits.hpp"

namespace lowbit::tokenizers {

// Merges parts in place and returns how many are left, or 0 when chunks do not fit together within
// reach: then nothing is changed.
//
// Chunks are encoded on their own. Where two meet in compatible tokens, all neighbours are
// compatible, which makes them the encoding of both together; else the second starts further left.
size_t merge_in_chunks(const Merges& merges, const Splits& splits, Part* parts, size_t count);

}  // namespace lowbit::tokenizers
