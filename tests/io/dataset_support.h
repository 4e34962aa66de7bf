// Small datasets made by hand for the tests of the readers.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "io/dataset.h"
#include "picture_support.h"

namespace rook::test {

namespace fs = std::filesystem;

// Writes a text and the folders above it.
inline fs::path put(const fs::path& file, std::string_view text) {
  fs::create_directories(file.parent_path());
  ByteVector bytes;
  add(bytes, text);
  save(file, bytes);
  return file;
}

// A picture of one colour; equal shades make equal bytes.
inline fs::path put_photo(const fs::path& file, int width, int height, int shade) {
  fs::create_directories(file.parent_path());
  ByteVector pixels(static_cast<std::size_t>(width * height) * 3, static_cast<std::uint8_t>(shade));
  pixels[0] = static_cast<std::uint8_t>(shade >> 8);
  save(file, make_bmp(width, height, pixels));
  return file;
}

// A JPEG of 16x8 stored pixels that lies on its side or not.
inline fs::path put_turned_photo(const fs::path& file, int orientation) {
  fs::create_directories(file.parent_path());
  save(file,
       make_jpeg({.blocks_x = 2, .blocks_y = 1, .components = {{10, 200}}, .app1 = make_app1(orientation, false)}));
  return file;
}

inline std::vector<io::Fault> faults_of(const io::Dataset& dataset, io::Fault::Kind kind) {
  std::vector<io::Fault> found;
  std::copy_if(dataset.faults.begin(), dataset.faults.end(), std::back_inserter(found),
               [&](const io::Fault& fault) { return fault.kind == kind; });
  return found;
}

// The one fault of a dataset as "kind file:line fatal", and all of them when there are several: easy to compare and
// read.
inline std::string fault_text(const io::Dataset& dataset) {
  std::string text;
  for (const io::Fault& fault : dataset.faults) {
    if (!text.empty()) text += ", ";
    text += std::string(name_of(fault.kind)) + " " + fault.file.filename().string() + ":" + std::to_string(fault.line) +
            (fault.fatal ? " fatal" : " warning");
  }
  return text;
}

inline bool near(double a, double b, double tolerance = 1e-6) {
  return std::abs(a - b) <= tolerance;
}

inline bool same_box(const io::LabelBox& box, int cls, double x, double y, double w, double h,
                     double tolerance = 1e-6) {
  return box.cls == cls && near(box.x, x, tolerance) && near(box.y, y, tolerance) && near(box.w, w, tolerance) &&
         near(box.h, h, tolerance);
}

// Two classes, one photo of 20x10; `annotations` stands from line 7 on.
inline std::string coco_text(const std::string& annotations, const std::string& images = "") {
  return "{\n\"categories\": [\n{\"id\": 1, \"name\": \"cat\"},\n{\"id\": 5, \"name\": \"dog\"}],\n\"images\": [\n" +
         (images.empty() ? R"({"id": 9, "file_name": "a.bmp", "width": 20, "height": 10}],)" : images + "],") +
         " \"annotations\": [\n" + annotations + "\n]}\n";
}

inline std::string voc_text(const std::string& objects,
                            const std::string& size = "<width>20</width><height>10</height>") {
  return "<annotation>\n<filename>a.bmp</filename>\n<size>" + size + "</size>\n" + objects + "</annotation>\n";
}

inline std::string voc_object(const std::string& name, const std::string& xmin, const std::string& ymin,
                              const std::string& xmax, const std::string& ymax, const std::string& more = "") {
  return "<object><name>" + name + "</name>" + more + "<bndbox><xmin>" + xmin + "</xmin><ymin>" + ymin +
         "</ymin><xmax>" + xmax + "</xmax><ymax>" + ymax + "</ymax></bndbox></object>\n";
}

}  // namespace rook::test
