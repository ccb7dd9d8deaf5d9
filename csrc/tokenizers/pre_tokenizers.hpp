// Steps that cut a text into words: those of tokenizer.json.
#pragma once

#include <memory>
#include <string>

#include "tokenizers/pattern.hpp"
#include "tokenizers/text.hpp"

namespace lowbit::tokenizers::pre_tokenizers {

using StepPointer = std::unique_ptr<const Step>;

// What happens to the matches of a pattern.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

// `invert`: what lies between the matches counts as match.
StepPointer split(std::shared_ptr<const Pattern> pattern, Behavior behavior, bool invert);
StepPointer split(std::string literal, Behavior behavior, bool invert);

StepPointer whitespace();        // runs of \w, and runs of what is neither that nor white space
StepPointer whitespace_split();  // what lies between white space
StepPointer punctuation(Behavior behavior);
StepPointer digits(bool individual);
StepPointer bert();  // at white space, punctuation marks alone
StepPointer fixed_length(int64_t characters);
StepPointer unicode_scripts();  // runs of one script, Han with kana; what is of none joins any

// A space before every piece that does not begin with one, as GPT-2's add_prefix_space does.
StepPointer prefix_space();
// Every byte becomes a printable character, as in GPT-2.
StepPointer byte_level();

enum class Prepend { always, first, never };
// Spaces become `replacement`, which is put before a text that does not begin with it; `cut`: every
// replacement begins a piece.
StepPointer metaspace(std::string replacement, Prepend prepend, bool cut);

// A piece begins at every run of `mark`, for models that join nothing across it.
StepPointer before_runs(std::string mark);

}  // namespace lowbit::tokenizers::pre_tokenizers
