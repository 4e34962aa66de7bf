// Positions that could stand on a board.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <set>

#include "synth/position.h"

using namespace rook::synth;

namespace {

using Counts = std::map<std::pair<Kind, bool>, int>;

Counts count(const Position& position) {
  Counts counts;
  for (const PlacedMan& placed : position.board) ++counts[{placed.man.kind, placed.man.white}];
  return counts;
}

void check_squares(const Position& position) {
  std::set<std::pair<int, int>> squares;
  for (const PlacedMan& placed : position.board) {
    CHECK((placed.file >= 0 && placed.file < 8 && placed.rank >= 0 && placed.rank < 8));
    CHECK(squares.emplace(placed.file, placed.rank).second);
    if (placed.man.kind == Kind::pawn) CHECK((placed.rank > 0 && placed.rank < 7));
  }
}

}  // namespace

TEST_CASE("synth: games keep to the rules as far as a picture shows") {
  for (std::uint32_t game = 0; game < 40; ++game) {
    Random random(1, game, 0);
    const Position position = played_position(random, static_cast<int>(game) * 5);
    check_squares(position);
    CHECK(position.board.size() + position.captured.size() == 32);
    Counts counts = count(position);
    std::array<const PlacedMan*, 2> kings{};
    for (const PlacedMan& placed : position.board) {
      if (placed.man.kind == Kind::king) kings[placed.man.white ? 1 : 0] = &placed;
    }
    for (const bool white : {false, true}) {
      CHECK(counts[{Kind::king, white}] == 1);
      // More than at the start only for pawns that were promoted, and those to queens.
      const int pawns = counts[{Kind::pawn, white}], queens = counts[{Kind::queen, white}];
      CHECK(pawns + std::max(queens - 1, 0) <= 8);
      for (const Kind kind : {Kind::bishop, Kind::knight, Kind::rook}) CHECK(counts[{kind, white}] <= 2);
    }
    REQUIRE((kings[0] != nullptr && kings[1] != nullptr));
    CHECK(std::max(std::abs(kings[0]->file - kings[1]->file), std::abs(kings[0]->rank - kings[1]->rank)) > 1);
    for (const Man man : position.captured) CHECK(man.kind != Kind::king);
  }
}

TEST_CASE("synth: no moves, no change; mixtures have as many pieces as asked for") {
  Random random(2, 0, 0);
  const Position start = played_position(random, 0);
  CHECK(start.board.size() == 32);
  CHECK(start.captured.empty());
  CHECK(mixed_position(random, 0).board.empty());
  for (int pieces = 1; pieces < 40; pieces += 6) {
    const Position position = mixed_position(random, pieces);
    check_squares(position);
    CHECK(static_cast<int>(position.board.size()) == pieces);
  }
}

TEST_CASE("synth: no class is rare, some boards are empty, some have one piece") {
  std::array<int, 2 * kKinds> boxes{};
  int all = 0, empty = 0, single = 0;
  constexpr int kPositions = 250;
  for (std::uint32_t i = 0; i < kPositions; ++i) {
    Random random(3, i, 0);
    const Position position = random_position(random);
    empty += position.board.empty();
    single += position.board.size() == 1;
    for (const PlacedMan& placed : position.board) {
      ++boxes[static_cast<std::size_t>(placed.man.kind) + (placed.man.white ? kKinds : 0)];
      ++all;
    }
  }
  for (const int n : boxes) CHECK_MESSAGE(n >= 0.03 * all, fmt::format("{} of {}", n, all));
  CHECK((empty >= 2 && empty <= kPositions / 8));
  CHECK((single >= 12 && single <= kPositions / 4));
}
