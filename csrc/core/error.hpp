// Errors a caller can act on: function, argument, rule, what was got, what to do.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace lowbit {

// Becomes ValueError in Python.
struct ArgumentError : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

// Becomes IndexError in Python.
struct RangeError : std::out_of_range {
  using std::out_of_range::out_of_range;
};

template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

// check(x.cols == w.cols, "linear: x has ", x.cols, " columns, the weight has ", w.cols);
template <class Error = ArgumentError, class... Parts>
void check(bool holds, const Parts&... parts) {
  if (!holds) [[unlikely]]
    throw Error(message(parts...));
}

}  // namespace lowbit
