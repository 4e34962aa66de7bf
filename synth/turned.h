// The profiles that the pieces are turned to, in the manner of Staunton's sets: a heavy foot, a waisted stem, collars,
// and the head that tells what a piece is.
#pragma once

#include <array>
#include <vector>

#include "synth/random.h"
#include "synth/vec.h"

namespace rook::synth {

enum class Kind { bishop, king, knight, pawn, queen, rook };
inline constexpr int kKinds = 6;
inline constexpr std::array<const char*, kKinds> kKindNames = {"bishop", "king", "knight", "pawn", "queen", "rook"};

// What sets differ in; 1 is a common club set.
struct Style {
  float height = 1, foot = 1, stem = 1, collar = 1, head = 1;
  float waist = 2.3f;                   // how soon the stem narrows: exponent of its curve
  float dome = 0.205f;                  // height that the foot ends at
  float crown = 0.25f;                  // of the queen: 0 a trumpet, 1 a cone
  float proud = 0;                      // of the knight: 0 looks down, 1 looks ahead
  int slots = 6;                        // of the rook's tower
  float slot = 1;                       // their width
  int points = 9;                       // of the queen's coronet
  float scallop = 0.8f;                 // depth between them, of half their distance
  float slit = 0.6f;                    // slope of the bishop's cut; none when 0
  float cross_arm = 1, cross_tall = 1;  // of the king
  float muzzle = 1;                     // length of the knight's
  static Style random(Random& random);
};

// Half outline (radius, height) from the middle of the foot to the top of the axis, in squares of the board.
std::vector<Vec2> turned_profile(Kind kind, const Style& style);

// Where the parts that are carved after turning sit, in squares.
struct Heights {
  float top = 0;    // of the whole piece
  float neck = 0;   // where the head begins
  float rim = 0;    // upper edge of the rook's tower and the queen's coronet; foot of the king's cross
  float width = 0;  // radius of the head
};
Heights heights_of(Kind kind, const Style& style);

}  // namespace rook::synth
