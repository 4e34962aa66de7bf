// Runs beside each other: figures on the same photos, curves, classes, the photos they disagree on, and how much of a
// difference is chance.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/bootstrap.h"
#include "model/evaluate.h"
#include "model/run_folder.h"

namespace rook {

struct ComparedRun {
  std::string name;
  Run run;
  RunSummary summary;
  std::vector<ImageResult> results;  // of the photos they are compared on; classes as in Comparison
  Evaluation evaluation;
  double ms = 0;  // the time of a photo, decoding included
  Interval against_first;
};

struct Comparison {
  std::string data;  // what the photos are, in words
  std::vector<std::string> classes;
  std::vector<std::string> files;  // of the photos, in the order of the results
  std::vector<ComparedRun> runs;   // the first is what the others are measured against
  std::vector<double> targets;     // mAP50 whose times are listed
  int resamples = 0;               // of the bootstrap
};

// Evaluates the results and draws the bootstrap: fills in what follows from runs, results and classes.
void complete(Comparison& comparison, double conf, int resamples, std::uint64_t seed);

std::string to_text(const Comparison& comparison);
nlohmann::json to_json(const Comparison& comparison);
// One page without other files. Photos are read again to be drawn on.
std::string compare_html(const Comparison& comparison);

// Of a photo that several models looked at: what one of them shows that not all others do, and what it does not show
// that is there and another one has found; what lies in ignored regions is nobody's own. By index into its detections
// and truths.
struct Disagreement {
  std::vector<int> right, wrong, agreed, missed;
};
// `photos` are the runs' results on the same photo. Boxes are the same where class and place (IoU >= 0.5) are.
std::vector<Disagreement> disagreements(const std::vector<const ImageResult*>& photos, double conf);

}  // namespace rook
