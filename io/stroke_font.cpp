#include "io/stroke_font.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace rook::io {
namespace {

// From ' ' to '~'. Polylines parted by spaces, two digits x and y a point; a single point is a dot. Drawn for rook.
constexpr std::array<std::string_view, 95> kGlyphs = {
    "",                                   // space
    "0004 06",                            // !
    "0002 2022",                          // "
    "1016 3036 0242 0444",                // #
    "413010010213334445361605 2026",      // $
    "0640 0010110100 3545463635",         // %
    "4612112031320405162644",             // &
    "0002",                               // '
    "10010516",                           // (
    "00111506",                           // )
    "2125 0442 0244",                     // *
    "2125 0343",                          // +
    "1607",                               // ,
    "0333",                               // -
    "06",                                 // .
    "0640",                               // /
    "103041453616050110",                 // 0
    "011016 0626",                        // 1
    "01103041420646",                     // 2
    "0110304142334445361605 1333",        // 3
    "36300444",                           // 4
    "40000312324345361605",               // 5
    "413010010516364544331304",           // 6
    "004016",                             // 7
    "13020110304142331304051636454433",   // 8
    "051636454130100102133342",           // 9
    "03 06",                              // :
    "13 1607",                            // ;
    "310335",                             // <
    "0242 0444",                          // =
    "013305",                             // >
    "01103041422324 26",                  // ?
    "5616050110506163544342 4232233443",  // @
    "062046 1434",                        // A
    "030030414233030636454433",           // B
    "4130100105163645",                   // C
    "00304145360600",                     // D
    "40000646 0333",                      // E
    "400006 0333",                        // F
    "41301001051636454323",               // G
    "0006 4046 0343",                     // H
    "0006",                               // I
    "3035261605",                         // J
    "0006 4004 1346",                     // K
    "000646",                             // L
    "0600234046",                         // M
    "06004640",                           // N
    "104051554616050110",                 // O
    "06003041423303",                     // P
    "104051554616050110 3456",            // Q
    "06003041423303 2346",                // R
    "413010010213334445361605",           // S
    "0040 2026",                          // T
    "000516364540",                       // U
    "002640",                             // V
    "0016315660",                         // W
    "0046 4006",                          // X
    "002340 2326",                        // Y
    "00400646",                           // Z
    "10000616",                           // [
    "0046",                               // backslash
    "00101606",                           // ]
    "022042",                             // ^
    "0747",                               // _
    "0011",                               // `
    "02223336 341405162635",              // a
    "0006 0312223335261605",              // b
    "3322120305162635",                   // c
    "3036 3322120305162635",              // d
    "043433221203051636",                 // e
    "201116 0222",                        // f
    "3322120305162635 32372808",          // g
    "0006 0312223336",                    // h
    "0206 00",                            // i
    "121708 10",                          // j
    "0006 3205 1436",                     // k
    "000516",                             // l
    "0206 03122326 23324346",             // m
    "0206 0312223336",                    // n
    "122233352616050312",                 // o
    "0208 0312223335261605",              // p
    "3238 3322120305162635",              // q
    "0206 031222",                        // r
    "3212031424352606",                   // s
    "101526 0222",                        // t
    "0205162635 3236",                    // u
    "022642",                             // v
    "0216233642",                         // w
    "0236 3206",                          // x
    "0226 4218",                          // y
    "02320636",                           // z
    "20111203141526",                     // {
    "0007",                               // |
    "00111223141506",                     // }
    "04133443",                           // ~
};

float width_of(std::string_view glyph) {
  float width = glyph.empty() ? 1.0f : 0.0f;  // the space is narrow: the gaps beside it add to it
  for (std::size_t i = 0; i < glyph.size();) {
    if (glyph[i] == ' ') {
      ++i;
      continue;
    }
    width = std::max(width, static_cast<float>(glyph[i] - '0'));
    i += 2;
  }
  return width;
}

void append_glyph(std::string_view glyph, float left, std::vector<Stroke>& strokes) {
  while (!glyph.empty()) {
    const std::string_view line = glyph.substr(0, glyph.find(' '));
    glyph.remove_prefix(std::min(glyph.size(), line.size() + 1));
    const auto x = [&](std::size_t point) { return left + static_cast<float>(line[2 * point] - '0'); };
    const auto y = [&](std::size_t point) { return static_cast<float>(line[2 * point + 1] - '0'); };
    const std::size_t points = line.size() / 2;
    if (points == 1) strokes.push_back({x(0), y(0), x(0), y(0)});
    for (std::size_t i = 1; i < points; ++i) strokes.push_back({x(i - 1), y(i - 1), x(i), y(i)});
  }
}

}  // namespace

StrokedText stroke_text(std::string_view text, float most_width) {
  constexpr float kGap = 2;  // between the middles of the lines of neighbours
  StrokedText result;
  float left = 0;
  for (const char raw : text) {
    const auto byte = static_cast<unsigned char>(raw);
    if ((byte & 0xC0) == 0x80) continue;  // inside a UTF-8 sequence, whose first byte is drawn as '?'
    const char letter = byte >= ' ' && byte <= '~' ? raw : '?';
    const std::string_view glyph = kGlyphs[static_cast<std::size_t>(letter - ' ')];
    const float right = left + width_of(glyph);
    if (right > most_width) break;
    append_glyph(glyph, left, result.strokes);
    result.width = right;
    left = right + kGap;
  }
  return result;
}

}  // namespace rook::io
