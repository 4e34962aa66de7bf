/* rook_detect.h is C11, and is used as its first lines say. */
#include "embed/rook_detect.h"

#include <stddef.h>

/* Boxes on a file: how many, and the first `capacity` of them; -1 where the model or the file is not taken. */
int32_t boxes_on_file(const char* model, const rook_detector_options* options, const char* file, rook_box* boxes,
                      int32_t capacity) {
  rook_detector* detector = rook_detector_open(model, options);
  if (!detector) return -1;
  const int32_t found = rook_detector_file(detector, file, boxes, capacity);
  rook_detector_close(detector);
  return found;
}

int32_t closes_nothing(void) {
  rook_detector_close(NULL);
  return rook_detector_classes(NULL) == 0 && rook_detector_class(NULL, 0) == NULL;
}
