// Labels that are probably wrong: where a model that has not learnt them disagrees with them, and is sure
// (docs/labelling.md).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "model/evaluate.h"

namespace rook {

enum class LabelError {
  wrong_class,    // the model sees an object of another class in the box
  missing_box,    // the model sees an object that nobody labelled
  misplaced_box,  // the model sees the labelled object beside the box
  double_box,     // another label of the photo has the object of this one
  spurious_box    // the model sees nothing in the box
};
const char* name_of(LabelError kind);

struct Suspect {
  int photo = 0;
  LabelError kind = LabelError::wrong_class;
  int truth = -1;      // of the photo; -1: missing_box
  int detection = -1;  // of the photo; -1: spurious_box
  int other = -1;      // double_box: the truth that has the object
  double score = 0;    // 0..1, see find_label_errors
  double own = 0;      // confidence with which the model finds what the label says
  double overlap = 0;  // IoU of the label and the detection; missing_box: with the nearest label
};

// `results`: detections of all classes (DetectorOptions::best_class off) from a low floor on, after NMS. Suspects by
// falling score; equal ones by photo. A label and a detection are suspected of one thing at most: the worst.
//
// Each label has `own`, the confidence of the detection that COCO's matching gives it (same class, IoU >= 0.5; 0:
// none). A detection that is no label's own, of confidence s, that overlaps its nearest label by IoU o, speaks for
//   wrong_class    s (1 - own)              of a label of another class, IoU >= 0.5
//   misplaced_box  s (1 - own) (1 - o)      of a label of its class, 0.1 <= IoU < 0.5
//   missing_box    s (1 - o)                otherwise, IoU < 0.5; of several detections at a place the surest
// and of labels nothing of this is said of
//   double_box     s (1 - own) IoU(labels)  where its object is the own one (of confidence s) of another label, IoU >=
//   0.5 spurious_box   typical (1 - seen)       `seen`: confidence of the surest detection, of any class, with IoU >=
//   0.5;
//                                           `typical`: mean `own` of the labels of that class. What a model often
//                                           fails to see says little when it is not seen (confident learning,
//                                           Northcutt et al. 2021, section 3.1, has such thresholds for each class).
// Throws Error as evaluate() does.
std::vector<Suspect> find_label_errors(std::span<const ImageResult> results, std::span<const std::string> classes);

// What the label says and what the model says, in words: "labelled rook; the model sees queen 0.93 (rook 0.02)".
std::string describe(const Suspect& suspect, const ImageResult& photo, const std::vector<std::string>& classes);

}  // namespace rook
