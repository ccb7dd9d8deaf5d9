// Ids of rows of a table, and bags of them, as arrays.
#pragma once

#include <string>
#include <variant>

#include "bindings/numpy.hpp"
#include "ops/embedding.hpp"

namespace lowbit::bindings {

using IdArray = std::variant<Array<int32_t>, Array<int64_t>>;

inline ops::Ids ids_of(const char* name, const IdArray& ids) {
  if (const auto* narrow = std::get_if<Array<int32_t>>(&ids)) {
    const auto view = vector(name, *narrow);
    return {view.data, nullptr, view.size};
  }
  const auto view = vector(name, std::get<Array<int64_t>>(ids));
  return {nullptr, view.data, view.size};
}

inline ops::Bags bags_of(const std::string& function, const IdArray& ids,
                         const Array<int64_t>& indptr, const std::string& mode,
                         const Maybe<float>& weights) {
  const auto bounds = vector((function + ": indptr").c_str(), indptr);
  check(bounds.size >= 1, function, ": indptr is empty; it starts with 0");
  return {ids_of((function + ": ids").c_str(), ids), bounds,
          vector((function + ": weights").c_str(), weights), mode};
}

}  // namespace lowbit::bindings
