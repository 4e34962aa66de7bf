// Boxes that a model proposes for a photo nobody has labelled, and how likely each of them has to be corrected, so that
// a person begins where the model is least certain (docs/labelling.md).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernels/types.h"

namespace rook {

struct ProposalOptions {
  float conf = 0.25f;           // least confidence of a box that is proposed
  float floor = 0.05f;          // least confidence of a hint: something that may be there but is not proposed
  float nms_threshold = 0.45f;  // overlap above which boxes of a class were joined
  int max = 0;                  // boxes proposed for a photo, the surest ones; 0: all
};

// What makes a box doubtful.
enum class Doubt {
  threshold,    // proposed, though with a confidence not far above the least
  hint,         // not proposed, though the model sees something there
  other_class,  // another class has much of the confidence at the same place
  twice         // another box of the class overlaps it nearly as much as NMS allows: one object or two?
};
const char* name_of(Doubt doubt);

struct Proposal {
  Detection box;
  bool proposed = true;  // otherwise a hint
  double doubt = 0;      // chance that a person has to correct it, 0..1
  Doubt why = Doubt::threshold;
  int other_class = -1;  // the likeliest other class at this place, -1: none above the floor
  float other_score = 0;
  int other_box = -1;  // of the photo's boxes, the stronger one of the class that this overlaps most; -1: none
  double overlap = 0;  // IoU with it
};

struct PhotoProposals {
  std::vector<Proposal> boxes;  // what is proposed by falling confidence, then the hints
  int proposed = 0;             // the first of them
  // How many corrections are to be expected: the sum of the doubts. A photo in which nothing at all is seen counts 0.5:
  // it may be empty, or nothing that the model understands.
  double corrections = 0;
};

// `detections`: of one photo, all classes of each box (DetectorOptions::best_class off), above `floor`, after NMS, in
// any order. Boxes are cut at the photo's edges.
PhotoProposals propose(std::span<const Detection> detections, const ProposalOptions& options);

// Chance that the model is wrong about a box being there: 0.5 at the threshold, 0 at confidences 0 and 1, straight
// lines between.
double presence_doubt(float score, float conf);

// The boxes a person should look at first, by falling doubt: at most `most`, those with a doubt of at least `least`.
std::vector<int> most_doubtful(const PhotoProposals& photo, int most, double least);

// "queen 0.31: unsure that it is there (threshold 0.25)".
std::string reason(const PhotoProposals& photo, int box, const std::vector<std::string>& classes,
                   const ProposalOptions& options);

// The least certain first; equal ones as they stand.
std::vector<int> by_uncertainty(std::span<const PhotoProposals> photos);

}  // namespace rook
