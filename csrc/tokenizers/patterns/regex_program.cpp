#include "tokenizers/patterns/regex_program.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace lowbit::tokenizers::regex {

namespace {

constexpr size_t kMostInstructions = 50000;

class Compiler {
 public:
  Program run(const Node& tree) {
    emit(tree);
    add(Op::kMatch);
    if (!may_be_empty(tree)) {
      program_.may_start_anywhere = false;
      program_.starts = test(first_points(tree));
    }
    return std::move(program_);
  }

 private:
  std::vector<Instruction>& code() { return program_.code; }
  uint32_t here() const { return static_cast<uint32_t>(program_.code.size()); }

  // An instruction goes on with the one behind it until told otherwise.
  uint32_t add(Op op) {
    check(here() < kMostInstructions, "compile_pattern: the regular expression needs more than ",
          kMostInstructions, " instructions; repeat less of it");
    const uint32_t at = here();
    Instruction instruction{.op = op, .next = at + 1, .next_if_moved = at + 1};
    if (op == Op::kSplit) instruction.argument = program_.splits++;
    if (op == Op::kRun) instruction.argument = program_.runs++;
    code().push_back(instruction);
    return at;
  }

  uint32_t test(const PointSet& points) {
    const auto found = std::find(sets_.begin(), sets_.end(), points);
    if (found != sets_.end()) return static_cast<uint32_t>(found - sets_.begin());
    sets_.push_back(points);
    program_.tests.emplace_back(points);
    return static_cast<uint32_t>(sets_.size() - 1);
  }

  void emit(const Node& node) {
    switch (node.kind) {
      case Kind::kPoints:
        code()[add(Op::kOne)].points = test(node.points);
        break;
      case Kind::kSequence:
        for (const Node& child : node.children) emit(child);
        break;
      case Kind::kChoice:
        return choice(node);
      case Kind::kRepeat:
        return repeat(node);
      case Kind::kAtomic:
        return atomic(node);
      case Kind::kAhead:
        return look(node);
      case Kind::kBehind:
        peek(node, Op::kPeekBack);
        break;
      case Kind::kAnchor:
        code()[add(Op::kAnchor)].argument = static_cast<uint32_t>(node.anchor);
        break;
    }
  }

  void choice(const Node& node) {
    std::vector<uint32_t> jumps;
    for (size_t i = 0; i + 1 < node.children.size(); ++i) {
      const uint32_t split = add(Op::kSplit);
      if (!may_be_empty(node.children[i])) {
        code()[split].guarded = true;
        code()[split].points = test(first_points(node.children[i]));
      }
      emit(node.children[i]);
      jumps.push_back(add(Op::kJump));
      code()[split].other = here();
    }
    emit(node.children.back());
    for (const uint32_t jump : jumps) code()[jump].next = here();
  }

  void peek(const Node& node, Op op) {
    const uint32_t at = add(op);
    code()[at].negative = node.negative;
    code()[at].points = test(node.children[0].points);
  }

  void look(const Node& node) {
    if (node.children[0].kind == Kind::kPoints) return peek(node, Op::kPeek);
    inner(node, Op::kAhead);
  }

  void atomic(const Node& node) {
    const Node& child = node.children[0];
    const bool run = child.kind == Kind::kRepeat && child.children[0].kind == Kind::kPoints &&
                     !child.lazy && (child.least > 0 || !in_empty_loop_);
    if (!run) return inner(node, Op::kAtomic);
    points(child, child.least);
    code().back().possessive = true;
  }

  // A part with a match of its own, behind the instruction that asks for it.
  void inner(const Node& node, Op op) {
    const uint32_t at = add(op);
    emit(node.children[0]);
    add(Op::kMatch);
    code()[at].negative = node.negative;
    code()[at].other = at + 1;
    code()[at].next = code()[at].next_if_moved = here();
  }

  void repeat(const Node& node) {
    const Node& child = node.children[0];
    const bool one = child.kind == Kind::kPoints && !node.lazy;
    if (one && (node.least > 0 || !in_empty_loop_)) return points(node, node.least);
    if (one && node.most != 0) {
      const uint32_t exit = split(false);
      points(node, 1);
      return leave(exit, false);
    }
    for (int i = 0; i < node.least; ++i) emit(child);
    if (node.most == kNoLimit) return loop(node);
    std::vector<uint32_t> exits;
    for (int i = node.least; i < node.most; ++i) {
      exits.push_back(split(node.lazy));
      emit(child);
    }
    for (const uint32_t exit : exits) leave(exit, node.lazy);
  }

  void points(const Node& node, int least) {
    const uint32_t at = add(Op::kRun);
    code()[at].points = test(node.children[0].points);
    code()[at].least = least;
    code()[at].most = node.most;
  }

  // A split into what follows it and the end of a repeat, which `leave` sets.
  uint32_t split(bool lazy) {
    const uint32_t at = add(Op::kSplit);
    if (lazy) code()[at].other = at + 1;
    return at;
  }
  void leave(uint32_t split, bool lazy) {
    (lazy ? code()[split].next : code()[split].other) = here();
  }

  void loop(const Node& node) {
    const Node& child = node.children[0];
    const uint32_t start = split(node.lazy);
    uint32_t exit = start;
    if (may_be_empty(child)) {
      exit = empty_loop_body(child);
    } else {
      emit(child);
    }
    code()[add(Op::kJump)].next = start;
    leave(start, node.lazy);
    if (exit != start) code()[exit].next = here();
  }

  // A body that may match nothing stands here twice, so that no turn of the loop that matches
  // nothing is followed by another: instructions that match a character lead from the first copy
  // to the second. The end of the first copy leaves the loop: the jump there is returned.
  uint32_t empty_loop_body(const Node& child) {
    const bool outer = in_empty_loop_;
    in_empty_loop_ = true;
    const uint32_t first = here();
    emit(child);
    const uint32_t exit = add(Op::kJump);
    const uint32_t shift = here() - first;
    emit(child);
    for (uint32_t at = first; at < exit; ++at) {
      Instruction& instruction = code()[at];
      if (instruction.op == Op::kOne || instruction.op == Op::kRun) instruction.next += shift;
      if (instruction.op == Op::kAtomic) instruction.next_if_moved += shift;
    }
    in_empty_loop_ = outer;
    return exit;
  }

  // The characters that a match of something that cannot be empty may start with.
  static PointSet first_points(const Node& node) {
    PointSet points;
    switch (node.kind) {
      case Kind::kPoints:
        return node.points;
      case Kind::kAhead:
      case Kind::kBehind:
      case Kind::kAnchor:
        return points;
      case Kind::kSequence:
        for (const Node& child : node.children) {
          points = points.united(first_points(child));
          if (!may_be_empty(child)) break;
        }
        return points;
      default:
        for (const Node& child : node.children) points = points.united(first_points(child));
        return points;
    }
  }

  Program program_;
  std::vector<PointSet> sets_;
  bool in_empty_loop_ = false;
};

}  // namespace

Program compile(const Node& tree) { return Compiler().run(tree); }

}  // namespace lowbit::tokenizers::regex
