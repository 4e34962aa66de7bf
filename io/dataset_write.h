// Writing a dataset in another format.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/dataset.h"

namespace rook::io {

// How photos come to the folder. link: hard links where the file system can, copies otherwise. copy: for photos that
// must not change when somebody edits the written ones.
enum class PlacePhotos { link, copy };

// Writes photos and labels into `folder`, which must be empty or not exist. Photos keep their names; two of a split
// whose names differ in the ending only are renamed.
//   coco     SPLIT/_annotations.coco.json beside the photos
//   yolo     data.yaml, SPLIT/images, SPLIT/labels
//   voc      SPLIT/*.xml beside the photos, classes.txt
//   coco+yolo  the first with YOLO labels beside the photos and data.yaml
//   darknet  obj.data, obj.names, SPLIT.txt, labels beside the photos in SPLIT; paths are relative to `folder`
// YOLO and darknet keep boxes to the last bit of a float, COCO and VOC to a thousandth of a pixel. COCO has the scores
// of boxes that have one ("score" of the annotation, as in files of results). The photos' sizes
// must be known (DatasetOptions::read_sizes) for COCO and VOC. Ignored regions are crowds in COCO and difficult objects
// in VOC, which have no other; YOLO and darknet have neither (regions_without_place). Throws Error: unknown format,
// folder in use, photo not readable, disk full, `stop` (may be null) was set; nothing of it is then left in `folder`.
void write_dataset(const Dataset& dataset, const std::filesystem::path& folder, const std::string& format,
                   PlacePhotos place = PlacePhotos::link, const std::atomic<bool>* stop = nullptr);

// How many ignored regions write_dataset leaves out, as the format has no place for them.
std::int64_t regions_without_place(const Dataset& dataset, const std::string& format);

// Where write_dataset puts the photos of a split, relative to its folder.
std::vector<std::filesystem::path> written_photos(const Split& split, const std::string& format);

}  // namespace rook::io
