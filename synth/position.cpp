#include "synth/position.h"

#include <cstdlib>
#include <optional>

namespace rook::synth {
namespace {

struct Step {
  int file, rank;
};

constexpr std::array<Step, 8> kRays = {{{1, 0}, {-1, 0}, {0, 1}, {0, -1}, {1, 1}, {1, -1}, {-1, 1}, {-1, -1}}};
constexpr std::array<Step, 8> kJumps = {{{1, 2}, {2, 1}, {-1, 2}, {-2, 1}, {1, -2}, {2, -1}, {-1, -2}, {-2, -1}}};

struct Move {
  int from, to;
};

bool inside(int file, int rank) {
  return file >= 0 && file < 8 && rank >= 0 && rank < 8;
}
int square_of(int file, int rank) {
  return rank * 8 + file;
}

class Board {
 public:
  Board() {
    constexpr std::array<Kind, 8> kBack = {Kind::rook, Kind::knight, Kind::bishop, Kind::queen,
                                           Kind::king, Kind::bishop, Kind::knight, Kind::rook};
    for (int file = 0; file < 8; ++file) {
      at_[square_of(file, 0)] = Man{kBack[static_cast<std::size_t>(file)], true};
      at_[square_of(file, 1)] = Man{Kind::pawn, true};
      at_[square_of(file, 6)] = Man{Kind::pawn, false};
      at_[square_of(file, 7)] = Man{kBack[static_cast<std::size_t>(file)], false};
    }
  }

  const std::optional<Man>& at(int square) const { return at_[static_cast<std::size_t>(square)]; }

  // What a piece attacks, that is where it may capture; sliding pieces as far as nothing stands in the way.
  std::vector<int> attacks(int from) const {
    std::vector<int> squares;
    const Man man = *at(from);
    const int file = from % 8, rank = from / 8;
    const auto add = [&](Step step, int reach) {
      for (int i = 1; i <= reach && inside(file + i * step.file, rank + i * step.rank); ++i) {
        squares.push_back(square_of(file + i * step.file, rank + i * step.rank));
        if (at(squares.back())) break;
      }
    };
    switch (man.kind) {
      case Kind::pawn:
        add({-1, man.white ? 1 : -1}, 1);
        add({1, man.white ? 1 : -1}, 1);
        break;
      case Kind::knight:
        for (const Step step : kJumps) add(step, 1);
        break;
      default:
        for (const Step step : kRays) {
          const bool straight = step.file == 0 || step.rank == 0;
          if (man.kind == Kind::rook && !straight) continue;
          if (man.kind == Kind::bishop && straight) continue;
          add(step, man.kind == Kind::king ? 1 : 8);
        }
    }
    return squares;
  }

  std::vector<Move> legal_moves(bool white) const {
    std::vector<Move> moves;
    for (int from = 0; from < 64; ++from) {
      if (!at(from) || at(from)->white != white) continue;
      for (const int to : targets(from)) {
        Board after = *this;
        after.play({from, to});
        if (!after.in_check(white)) moves.push_back({from, to});
      }
    }
    return moves;
  }

  // What was captured, if anything.
  std::optional<Man> play(Move move) {
    const std::optional<Man> captured = at(move.to);
    at_[static_cast<std::size_t>(move.to)] = at(move.from);
    at_[static_cast<std::size_t>(move.from)].reset();
    Man& man = *at_[static_cast<std::size_t>(move.to)];
    if (man.kind == Kind::pawn && move.to / 8 == (man.white ? 7 : 0)) man.kind = Kind::queen;
    return captured;
  }

 private:
  std::vector<int> targets(int from) const {
    const Man man = *at(from);
    std::vector<int> squares;
    for (const int to : attacks(from)) {
      const bool enemy = at(to) && at(to)->white != man.white;
      if (enemy || (man.kind != Kind::pawn && !at(to))) squares.push_back(to);
    }
    if (man.kind == Kind::pawn) {
      const int ahead = man.white ? 8 : -8, home = man.white ? 1 : 6;
      if (!at(from + ahead)) {
        squares.push_back(from + ahead);
        if (from / 8 == home && !at(from + 2 * ahead)) squares.push_back(from + 2 * ahead);
      }
    }
    return squares;
  }

  bool in_check(bool white) const {
    for (int from = 0; from < 64; ++from) {
      if (!at(from) || at(from)->white == white) continue;
      for (const int to : attacks(from)) {
        if (at(to) && at(to)->kind == Kind::king && at(to)->white == white) return true;
      }
    }
    return false;
  }

  std::array<std::optional<Man>, 64> at_;
};

}  // namespace

Position played_position(Random& random, int plies) {
  Board board;
  Position position;
  bool white = true;
  for (int ply = 0; ply < plies; ++ply, white = !white) {
    const std::vector<Move> moves = board.legal_moves(white);
    if (moves.empty()) break;
    const Move move = moves[static_cast<std::size_t>(random.below(static_cast<int>(moves.size())))];
    if (const std::optional<Man> captured = board.play(move)) position.captured.push_back(*captured);
  }
  for (int square = 0; square < 64; ++square) {
    if (board.at(square)) position.board.push_back({*board.at(square), square % 8, square / 8});
  }
  return position;
}

Position mixed_position(Random& random, int count) {
  Position position;
  std::array<bool, 64> taken{};
  while (static_cast<int>(position.board.size()) < std::min(count, 48)) {
    const Man man{static_cast<Kind>(random.below(kKinds)), random.chance(0.5f)};
    const int square = man.kind == Kind::pawn ? 8 + random.below(48) : random.below(64);
    if (taken[static_cast<std::size_t>(square)]) continue;
    taken[static_cast<std::size_t>(square)] = true;
    position.board.push_back({man, square % 8, square / 8});
  }
  return position;
}

Position random_position(Random& random) {
  constexpr float kWeights[] = {0.48f, 0.34f, 0.14f, 0.04f};
  switch (random.pick(kWeights)) {
    case 0: {
      const bool opening = random.chance(0.15f);
      return played_position(random, random.below(opening ? 12 : 220));
    }
    case 1:
      return mixed_position(random, 2 + random.below(24));
    case 2:
      return mixed_position(random, 1);
    default:
      return {};
  }
}

}  // namespace rook::synth
