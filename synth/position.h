// Which pieces stand where: positions of games played at random by the rules, and freer mixtures.
#pragma once

#include <array>
#include <vector>

#include "synth/random.h"
#include "synth/turned.h"

namespace rook::synth {

struct Man {
  Kind kind = Kind::pawn;
  bool white = true;
};

struct PlacedMan {
  Man man;
  int file = 0, rank = 0;  // 0..7
};

struct Position {
  std::vector<PlacedMan> board;
  std::vector<Man> captured;
};

// A game of `plies` moves from the start, each drawn from the legal ones (castling, en passant and other promotions
// than to a queen are left out); it ends early where there is no move.
Position played_position(Random& random, int plies);

// `count` pieces of all kinds alike, any number of each, on squares of their own; pawns not on the first or last rank.
Position mixed_position(Random& random, int count);

// One of the two, a single piece, or an empty board.
Position random_position(Random& random);

}  // namespace rook::synth
