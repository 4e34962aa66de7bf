// All that a picture shows, as data: pieces, board, table, lights, camera, and how the photo is taken.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "synth/piece.h"
#include "synth/position.h"

namespace rook::synth {

// Colours are linear light, 0..1.
struct Material {
  Vec3 color{0.8f, 0.8f, 0.8f};
  Vec3 dark{0.8f, 0.8f, 0.8f};  // of the grain
  float grain = 0;              // 0: one colour; 1: wood
  float gloss = 0.5f;           // strength of highlights and mirrored light
  float sharpness = 60;         // exponent of the highlight
};

struct Piece {
  Man man;
  Vec3 position;  // of the middle of its foot, in the world
  Frame frame;    // of the piece in the world
};

struct BoardLook {
  float border = 0.5f;  // beyond the 8x8 squares
  float thickness = 0.05f;
  Vec3 light, dark, rim;  // squares and border
  Vec3 ink;               // of the coordinates and the line around the squares
  bool coordinates = true, frame_line = true;
  float grain = 0, gloss = 0.2f;
};

enum class TableKind { cloth, plain, wood, stone };

struct TableLook {
  TableKind kind = TableKind::plain;
  Vec3 color, second;
  float scale = 1;     // of its pattern
  float strength = 0;  // of the pattern or the folds
  Vec3 offset;         // into the pattern
};

// A far lamp or window.
struct Light {
  Vec3 toward;          // unit vector to the light
  Vec3 color;           // irradiance of a surface that faces it
  float softness = 10;  // of its shadows: distance over penumbra
};

struct Camera {
  Vec3 position;
  Frame frame;                                                 // x right, y down, z forward
  float focal_x = 1, focal_y = 1, centre_x = 0, centre_y = 0;  // pixels

  // Through a point of the picture; the first pixel spans 0..1.
  Ray ray(float px, float py) const {
    return {position, normalized(frame.to_world({(px - centre_x) / focal_x, (py - centre_y) / focal_y, 1}))};
  }
  // {x, y} in pixels, z the depth along the view (not positive: behind the camera).
  Vec3 project(Vec3 world) const {
    const Vec3 p = frame.to_local(world - position);
    return {centre_x + focal_x * p.x / p.z, centre_y + focal_y * p.y / p.z, p.z};
  }
};

// What lens, sensor and file do to a picture.
struct PhotoLook {
  float exposure = 1;
  Vec3 balance{1, 1, 1};
  float contrast = 0, vignette = 0;  // 0: none
  float blur = 0;                    // standard deviation in pixels
  float noise = 0;                   // standard deviation in 8-bit steps at middle grey
  int jpeg_quality = 90;
};

struct Scene {
  int width = 0, height = 0;
  Set set{Style{}};
  std::vector<Piece> pieces;
  Material white, black;
  BoardLook board;
  TableLook table;
  std::vector<Light> lights;
  Vec3 sky, ground;        // light from above and below
  float occlusion = 1;     // how dark corners are, 0: no ambient occlusion
  Vec3 room;               // what is behind the table
  float table_reach = 30;  // squares from the middle of the board to the table's edge
  Camera camera;
  PhotoLook photo;
};

// A random scene; the same for the same seed and picture number. Sizes in pixels. `sets`: how many different chess sets
// the pictures show in turn, each at its place (pieces, board, table, lamps, camera, and the chair that photos are
// taken from, about); 0: each picture its own, from anywhere.
Scene random_scene(std::uint64_t seed, std::uint32_t picture, int width, int height, std::uint32_t sets = 0);

// The parts of it, also on their own.
Camera look_at(Vec3 target, float azimuth, float elevation, float distance, float roll, float field_of_view,
               float stretch, int width, int height);
void choose_colours(Scene& scene, Random& random);

}  // namespace rook::synth
