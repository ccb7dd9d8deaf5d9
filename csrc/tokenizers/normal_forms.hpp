// The Unicode normal forms NFC, NFD, NFKC and NFKD (Unicode Standard Annex 15).
#pragma once

#include "tokenizers/text.hpp"

namespace lowbit::tokenizers {

enum class NormalForm { nfc, nfd, nfkc, nfkd };

void normalize(NormalForm form, Text& text);

// Whether the form may be other than the text where this character is: false tells that it has no
// decomposition and is no combining mark, where the form decomposes.
bool changes(NormalForm form, uint32_t point);

// Whether the StripAccents normalizer drops it.
bool is_mark(uint32_t point);

}  // namespace lowbit::tokenizers
