#include "tokenizers/token_table.hpp"

namespace lowbit::tokenizers {

bool TokenTable::has_behind(std::string_view mark) const {
  for (uint32_t number = 0; number < size(); ++number) {
    std::string_view token = text(number);
    while (token.starts_with(mark)) token.remove_prefix(mark.size());
    if (token.find(mark) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace lowbit::tokenizers
