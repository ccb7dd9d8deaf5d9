// Expressions with a scanner of their own, as they stand in the files of published tokenizers.
#pragma once

#include "tokenizers/pattern.hpp"

namespace lowbit::tokenizers {

// Null where there is none.
std::shared_ptr<const Pattern> known_pattern(std::string_view expression);

// The general engine, for any expression.
std::shared_ptr<const Pattern> compile_regex(std::string_view expression);

}  // namespace lowbit::tokenizers
