/* rook in your own program: a model opened once, pictures in, boxes out. Plain C, one library, librookdetect.so.
 *
 *   rook_detector* detector = rook_detector_open("runs/chess", NULL);
 *   if (!detector) { puts(rook_detector_error()); exit(1); }
 *   rook_box boxes[100];
 *   int32_t found = rook_detector_file(detector, "photo.jpg", boxes, 100);
 *   for (int32_t i = 0; i < found && i < 100; ++i)
 *     printf("%s %.2f\n", rook_detector_class(detector, boxes[i].class_id), boxes[i].score);
 *   rook_detector_close(detector);
 *
 * - The boxes are those of `rook detect` with the same model and options, to the bit.
 * - A function that fails says so by what it returns; rook_detector_error() then has one line that says what is wrong,
 *   for the thread that called. No exception leaves the library.
 * - Any number of threads may share a detector; they wait for each other. Many detectors may exist.
 * - The CPU path computes on all cores, or on OMP_NUM_THREADS of them. OpenMP's threads do not survive a fork: in a
 * child of a process that has opened a detector every call fails, but where there is one thread.
 *
 * Build against it: cc -I embed my.c -L build/release -lrookdetect -Wl,-rpath,build/release. From Python:
 * embed/rook_detect.py.
 */
#ifndef ROOK_DETECT_H
#define ROOK_DETECT_H

#include <stdint.h> /* NOLINT: this is C */

#ifdef __cplusplus
extern "C" {
#endif

#define ROOK_DETECT_API __attribute__((visibility("default")))

/* Grows when a struct or a meaning changes; rook_detect_abi() is the library's. */
#define ROOK_DETECT_ABI 1

typedef struct rook_detector rook_detector;

/* What is 0 or null is as the comment says. */
typedef struct rook_detector_options {
  const char* device;    /* auto (null: a GPU, else the CPU), cpu, cuda, emu, ref */
  const char* precision; /* auto (null: f32), f32, bf16, f16 (on a GPU) */
  const char* names;     /* file of class names, one per line, where the model has none */
  int32_t size;          /* side of the network's input, a multiple of 32 up to 8192; 0: as the model was trained */
  float confidence;      /* least score of a box; 0: 0.25 */
  float nms_threshold;   /* overlap above which the weaker of two boxes of a class goes; 0: 0.45 */
} rook_detector_options;

/* In pixels of the picture, cut at its edges. */
typedef struct rook_box {
  float left;
  float top;
  float width;
  float height;
  float score;
  int32_t class_id;
} rook_box;

/* Order of the bytes of a pixel. OpenCV's is ROOK_BGR; alpha is not looked at. */
typedef int32_t rook_pixels;
enum { ROOK_RGB = 0, ROOK_BGR = 1, ROOK_RGBA = 2, ROOK_BGRA = 3, ROOK_GREY = 4 };

ROOK_DETECT_API int32_t rook_detect_abi(void);

/* model: a run folder, a checkpoint, NETWORK.cfg:FILE.weights, or "rendered". options may be null. Null: it failed. */
ROOK_DETECT_API rook_detector* rook_detector_open(const char* model, const rook_detector_options* options);
/* Not while another thread uses it. A null detector is nothing to close. */
ROOK_DETECT_API void rook_detector_close(rook_detector* detector);

/* What is on a picture, by falling score: writes at most `capacity` boxes, and returns how many there are, which may be
 * more; -1: it failed. */
ROOK_DETECT_API int32_t rook_detector_file(rook_detector* detector, const char* file, rook_box* boxes,
                                           int32_t capacity);
/* The same of a picture in memory as a file would have it (JPEG, PNG, BMP, ...), turned by its EXIF orientation. */
ROOK_DETECT_API int32_t rook_detector_encoded(rook_detector* detector, const void* bytes, int64_t count,
                                              rook_box* boxes, int32_t capacity);
/* The same of 8-bit pixels, row by row from the top; `stride` bytes from one row to the next, 0: no gaps. */
ROOK_DETECT_API int32_t rook_detector_pixels(rook_detector* detector, const void* pixels, int32_t width, int32_t height,
                                             int64_t stride, rook_pixels order, rook_box* boxes, int32_t capacity);

ROOK_DETECT_API int32_t rook_detector_classes(const rook_detector* detector);
/* Null: there is no class of that number. The text lives as long as the detector. */
ROOK_DETECT_API const char* rook_detector_class(const rook_detector* detector, int32_t class_id);
ROOK_DETECT_API void rook_detector_input(const rook_detector* detector, int32_t* width, int32_t* height);

/* Why the last call of this thread failed; empty before the first failure. */
ROOK_DETECT_API const char* rook_detector_error(void);

#ifdef __cplusplus
}
#endif

#endif
