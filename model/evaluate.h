// How good detections are: the COCO evaluator and darknet's, side by side (darknet.md 9).
#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "io/dataset.h"
#include "kernels/types.h"

namespace rook {

// What a network said of a photo and what is there. Boxes are relative to the original photo, 0..1.
struct ImageResult {
  std::string name;
  int width = 0, height = 0;               // pixels of the original
  std::vector<Detection> detections = {};  // after NMS, score above the evaluation floor, in any order
  std::vector<Truth> truths = {};
  std::vector<io::IgnoredRegion> ignored = {};  // detections there that are no hits are not judged
};

struct PrPoint {
  double conf = 0, precision = 0, recall = 0, f1 = 0;
};

struct ClassResult {
  std::string name;
  int boxes = 0;
  double ap50 = 0, ap50_95 = 0;  // COCO; 0 without boxes, and then left out of the means
  double darknet_ap50 = 0;
  int true_positives = 0, false_positives = 0, false_negatives = 0;  // at conf, IoU 0.5
  std::vector<PrPoint> curve;  // at IoU 0.5, by falling confidence, a point for each score that occurs
};

struct Evaluation {
  int images = 0, boxes = 0;
  double map50 = 0, map50_95 = 0;                         // COCO: 101 points, IoU 0.5 and 0.5:0.05:0.95
  double darknet_map50 = 0;                               // darknet `detector map`: AUC, all classes counted; it
                                                          // knows no ignored regions
  double conf = 0.25, precision = 0, recall = 0, f1 = 0;  // score > conf, over all classes, IoU 0.5
  PrPoint best_f1;                                        // its conf lies halfway to the next lower score
  std::vector<ClassResult> classes;
  // [truth class or background][detected class or background] at conf, IoU 0.5. The diagonal holds the true positives;
  // what is left over is paired across classes, by falling score. Rows sum to boxes, columns to detections that are
  // judged.
  std::vector<std::vector<int>> confusion;
  std::vector<double> image_f1;  // per photo at conf, for "worst" and "best" pictures; 1 where nothing is to find
  std::string preprocess;        // how photos were brought to the network's size: the caller fills it in
};

struct EvaluateOptions {
  double conf = 0.25;
  int max_detections = 100;  // COCO's maxDets, of one class in one photo; <= 0: no limit
};

// Throws Error naming the photo when a score or box is not finite or a class is not one of `classes`.
Evaluation evaluate(std::span<const ImageResult> results, std::span<const std::string> classes,
                    const EvaluateOptions& options = {});

// The JSON of `rook eval`. A class name that occurs again gets " (class N)" appended.
nlohmann::json to_json(const Evaluation& evaluation);
// An aligned table for the terminal.
std::string to_text(const Evaluation& evaluation);

}  // namespace rook
