#include "tokenizers/patterns/regex_parse.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "core/error.hpp"
#include "tokenizers/classes.hpp"
#include "tokenizers/patterns/regex_escape.hpp"

namespace lowbit::tokenizers::regex {

namespace {

constexpr int kDeepest = 200;
constexpr int kMostRepeats = 1000;

class Parser {
 public:
  explicit Parser(std::string_view expression) : in_(expression) {}

  Node whole() {
    Node node = choice({});
    in_.require(in_.done(), "unmatched )");
    return node;
  }

 private:
  struct Flags {
    bool any_case = false, dot_all = false;
  };

  Node choice(Flags flags) {
    in_.require(++depth_ <= kDeepest, "groups nested too deep");
    Node node{.kind = Kind::kChoice};
    do node.children.push_back(sequence(flags));
    while (in_.take('|'));
    --depth_;
    return node.children.size() == 1 ? std::move(node.children[0]) : node;
  }

  Node sequence(Flags flags) {
    Node node;
    while (!in_.done() && !in_.at('|') && !in_.at(')'))
      node.children.push_back(repeats(atom(flags)));
    return node.children.size() == 1 ? std::move(node.children[0]) : node;
  }

  Node repeats(Node node) {
    int count = 0;
    while (auto bounds = quantifier()) {
      in_.require(++count <= kDeepest, "too many repeats of repeats");
      auto [least, most, interval] = *bounds;
      Node repeat{.kind = Kind::kRepeat, .children = {}, .least = least, .most = most};
      repeat.children.push_back(std::move(node));
      // {n}? and {n,m}+ are a repeat followed by another.
      repeat.lazy = !(interval && least == most) && in_.take('?');
      const bool possessive = !interval && !repeat.lazy && in_.take('+');
      node = std::move(repeat);
      if (possessive) node = wrapped(Kind::kAtomic, std::move(node));
    }
    return node;
  }

  struct Bounds {
    int least, most;
    bool interval;
  };

  std::optional<Bounds> quantifier() {
    if (in_.take('*')) return Bounds{0, kNoLimit, false};
    if (in_.take('+')) return Bounds{1, kNoLimit, false};
    if (in_.take('?')) return Bounds{0, 1, false};
    const size_t start = in_.place();
    if (!in_.take('{')) return {};
    const auto least = in_.number();
    const bool comma = in_.take(',');
    const auto most = comma ? in_.number() : least;
    if ((!least && !most) || !in_.take('}')) {
      in_.go_back(start);  // a brace of the text
      return {};
    }
    const Bounds bounds{least.value_or(0), most.value_or(kNoLimit), true};
    in_.require(std::max(bounds.least, bounds.most) <= kMostRepeats, "more than 1000 repeats");
    in_.require(bounds.most == kNoLimit || bounds.least <= bounds.most,
                "the bounds of a repeat are the wrong way round");
    return bounds;
  }

  Node atom(Flags flags) {
    const uint32_t point = in_.next();
    switch (point) {
      case '(':
        return group(flags);
      case '[':
        return {.kind = Kind::kPoints, .children = {}, .points = brackets(flags)};
      case '.': {
        const PointSet newline('\n', '\n');
        return of_points(flags.dot_all ? PointSet(0, kLastPoint) : newline.complement());
      }
      case '^':
        return of_anchor(Anchor::kLineStart);
      case '$':
        return of_anchor(Anchor::kLineEnd);
      case '\\':
        return escape(flags);
      case '*':
      case '+':
      case '?':
        in_.fail("nothing to repeat");
      default:
        return literal(point, flags);
    }
  }

  Node escape(Flags flags) {
    if (const auto anchor = in_.anchor_escape()) return of_anchor(*anchor);
    if (auto points = in_.class_escape(false)) return of_points(std::move(*points));
    return literal(in_.literal_escape(), flags);
  }

  static Node of_points(PointSet points) {
    return {.kind = Kind::kPoints, .children = {}, .points = std::move(points)};
  }
  static Node of_anchor(Anchor anchor) { return {.kind = Kind::kAnchor, .anchor = anchor}; }
  static Node literal(uint32_t point, Flags flags) {
    const PointSet points(point, point);
    return of_points(flags.any_case ? points.any_case() : points);
  }
  static Node wrapped(Kind kind, Node child) {
    Node node{.kind = kind};
    node.children.push_back(std::move(child));
    return node;
  }

  // Behind an opening parenthesis. (?i) without a colon rules the rest of the group around it.
  Node group(Flags flags) {
    if (!in_.take('?')) return closed(choice(flags));
    if (in_.take(':')) return closed(choice(flags));
    if (in_.take('>')) return wrapped(Kind::kAtomic, closed(choice(flags)));
    if (in_.take('=')) return look(Kind::kAhead, false, flags);
    if (in_.take('!')) return look(Kind::kAhead, true, flags);
    if (in_.take('#')) {
      while (in_.next() != ')') {
      }
      return {};
    }
    if (in_.take("<=")) return look(Kind::kBehind, false, flags);
    if (in_.take("<!")) return look(Kind::kBehind, true, flags);
    if (in_.take("P<") || in_.take('<')) {
      while (in_.next() != '>') {
      }
      return closed(choice(flags));
    }
    set_flags(flags);
    if (in_.take(':')) return closed(choice(flags));
    in_.require(in_.take(')'), "unclosed group");
    return choice(flags);
  }

  void set_flags(Flags& flags) {
    for (bool on = true; !in_.at(':') && !in_.at(')');) {
      const uint32_t flag = in_.next();
      if (flag == '-')
        on = false;
      else if (flag == 'i')
        flags.any_case = on;
      else if (flag == 'm' || flag == 's')
        flags.dot_all = on;
      else
        in_.fail("a group that is none of (?: (?= (?! (?<= (?<! (?> (?i (?m (?s");
    }
  }

  Node closed(Node node) {
    in_.require(in_.take(')'), "unclosed group");
    return node;
  }

  Node look(Kind kind, bool negative, Flags flags) {
    Node child = closed(choice(flags));
    if (kind == Kind::kBehind) child = of_points(one_character(child));
    Node node = wrapped(kind, std::move(child));
    node.negative = negative;
    return node;
  }

  PointSet one_character(const Node& node) {
    if (node.kind == Kind::kPoints) return node.points;
    in_.require(node.kind == Kind::kChoice, "a look behind at more than one character");
    PointSet points;
    for (const Node& child : node.children) points = points.united(one_character(child));
    return points;
  }

  // Behind an opening bracket. && binds weaker than what stands side by side.
  PointSet brackets(Flags flags) {
    in_.require(++depth_ <= kDeepest, "classes nested too deep");
    const bool negative = in_.take('^');
    PointSet whole(0, kLastPoint), part;
    for (bool first = true; first || !in_.at(']'); first = false) {
      in_.require(!in_.done(), "unclosed [");
      if (in_.take("&&")) {
        whole = whole.intersected(part);
        part = {};
      } else {
        part = part.united(item(flags));
      }
    }
    in_.next();
    --depth_;
    whole = whole.intersected(part);
    if (flags.any_case) whole = whole.any_case();
    return negative ? whole.complement() : whole;
  }

  PointSet item(Flags flags) {
    in_.require(!in_.at("[:"), "a POSIX class such as [:alpha:]; write \\p{...}");
    if (in_.take('[')) return brackets(flags);
    const bool escaped = in_.take('\\');
    if (escaped)
      if (auto points = in_.class_escape(true)) return std::move(*points);
    const uint32_t first = escaped ? in_.literal_escape() : in_.next();
    const size_t start = in_.place();
    if (!in_.take('-')) return {first, first};
    if (in_.done() || in_.at(']') || in_.at('[') || in_.at("&&")) {
      in_.go_back(start);  // a hyphen of the class
      return {first, first};
    }
    const bool escaped_last = in_.take('\\');
    in_.require(!escaped_last || !in_.class_escape(true), "a class at the end of a range");
    const uint32_t last = escaped_last ? in_.literal_escape() : in_.next();
    in_.require(first <= last, "a range whose ends are the wrong way round");
    return {first, last};
  }

  Input in_;
  int depth_ = 0;
};

}  // namespace

Node parse(std::string_view expression) { return Parser(expression).whole(); }

bool may_be_empty(const Node& node) {
  const auto empty = [](const Node& child) { return may_be_empty(child); };
  const auto& children = node.children;
  switch (node.kind) {
    case Kind::kPoints:
      return false;
    case Kind::kSequence:
      return std::all_of(children.begin(), children.end(), empty);
    case Kind::kChoice:
      return std::any_of(children.begin(), children.end(), empty);
    case Kind::kRepeat:
      return node.least == 0 || empty(children[0]);
    case Kind::kAtomic:
      return empty(children[0]);
    default:
      return true;
  }
}

}  // namespace lowbit::tokenizers::regex
