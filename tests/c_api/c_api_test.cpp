// librook.so: every operation has its C function, they compute what loops in C compute, and nothing leaves the library
// but statuses and messages. What runs here is called from tests/c_api/c_ops.c.
#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "engine/backend.h"
#include "tests/c_api/c_ops.h"

namespace {

bool has(const std::string& function) {
  return dlsym(RTLD_DEFAULT, function.c_str()) != nullptr;
}

std::vector<rook_device> devices() {
  std::vector<rook_device> usable;
  char text[256];
  for (const rook_device device : {ROOK_CPU, ROOK_EMU, ROOK_REF})
    if (rook_describe_device(device, text, sizeof text) == ROOK_OK) usable.push_back(device);
  return usable;
}

void check_passes(const char* fault) {
  CHECK_MESSAGE(fault == nullptr, fault);
}

rook_activation_forward_args negative_values(float* values, int count) {
  const rook_tensor t{values, ROOK_F32, 1, 1, 1, count, count};
  return {t, t, ROOK_RELU};
}

}  // namespace

TEST_CASE("C interface: every operation and every workspace has its function") {
  int operations = 0, workspaces = 0;
#define ROOK_COUNT_OP(op, Args) operations += has("rook_" #op);
#define ROOK_COUNT_WORKSPACE(op, Args) workspaces += has("rook_" #op "_workspace");
#define ROOK_ONE(op, Args) +1
  ROOK_OP_LIST(ROOK_COUNT_OP)
  ROOK_WORKSPACE_LIST(ROOK_COUNT_WORKSPACE)
  CHECK(operations == ROOK_OP_LIST(ROOK_ONE));
  CHECK(workspaces == ROOK_WORKSPACE_LIST(ROOK_ONE));
#undef ROOK_COUNT_OP
#undef ROOK_COUNT_WORKSPACE
#undef ROOK_ONE
  CHECK_FALSE(has("rook_no_such_operation"));
}

TEST_CASE("C interface: operations called from C compute what plain loops do") {
  CHECK(devices().size() >= 2);
  for (const rook_device device : devices()) {
    CAPTURE(device);
    check_passes(c_maxpool(device));
    check_passes(c_batchnorm(device));
    check_passes(c_shortcut(device));
    check_passes(c_sgd(device));
    check_passes(c_detect(device));
    for (const rook_conv_direction direction : {ROOK_FPROP, ROOK_DGRAD, ROOK_WGRAD})
      check_passes(c_conv(device, nullptr, direction));
  }
}

TEST_CASE("C interface: each row of the convolution table, by name") {
  int rows = 0, ran = 0;
  for (; const char* const row = rook_conv_row(ROOK_CPU, rows); ++rows) {
    CAPTURE(row);
    for (const rook_conv_direction direction : {ROOK_FPROP, ROOK_DGRAD, ROOK_WGRAD}) {
      const char* const fault = c_conv(ROOK_CPU, row, direction);
      const bool unsupported = fault && std::strstr(fault, "does not support");
      if (!unsupported) check_passes(fault);
      ran += !unsupported;
    }
  }
  CHECK(rows >= 2);
  CHECK(ran >= 3);
  CHECK(rook_conv_row(ROOK_CPU, -1) == nullptr);
  CHECK(c_conv(ROOK_CPU, "no such row", ROOK_FPROP) != nullptr);
}

TEST_CASE("C interface: DLPack tensors are views, and what is none is refused") {
  check_passes(c_dlpack());
}

TEST_CASE("C interface: faults are a status and one line, of the thread that made them") {
  float value = -1;
  rook_activation_forward_args args = negative_values(&value, 1);
  CHECK(rook_activation_forward(nullptr, {ROOK_CPU, nullptr}) == ROOK_REFUSED);
  CHECK(std::string(rook_last_error()) == "activation_forward: args: is a null pointer");
  CHECK(rook_activation_forward(&args, {17, nullptr}) == ROOK_REFUSED);
  CHECK(std::string(rook_last_error()).find("device: 17") == 0);
  args.x.data = nullptr;
  CHECK(rook_activation_forward(&args, {ROOK_CPU, nullptr}) == ROOK_REFUSED);
  CHECK(std::string(rook_last_error()).find("has no data") != std::string::npos);
  args = negative_values(&value, 1);
  args.activation = 99;
  CHECK(rook_activation_forward(&args, {ROOK_CPU, nullptr}) == ROOK_REFUSED);
  args = negative_values(&value, 1);
  args.x.dtype = args.y.dtype = -1;
  CHECK(rook_activation_forward(&args, {ROOK_CPU, nullptr}) == ROOK_REFUSED);
  CHECK(value == -1);
  const std::string mine = rook_last_error();
  std::string other = "unset";
  std::thread([&] { other = rook_last_error(); }).join();
  CHECK(other.empty());
  CHECK(rook_last_error() == mine);
  CHECK(mine.find('\n') == std::string::npos);

  rook_shortcut_forward_args sum{};
  sum.input_count = 3;
  CHECK(rook_shortcut_forward(&sum, {ROOK_CPU, nullptr}) == ROOK_REFUSED);
  rook_sgd_update_args update{};
  update.segment_count = std::numeric_limits<std::int64_t>::max();
  CHECK(rook_sgd_update(&update, {ROOK_CPU, nullptr}) == ROOK_REFUSED);
  rook_conv_problem problem{};
  rook_conv_plan plan{};
  CHECK(rook_conv_plan_for(&problem, nullptr, {ROOK_CPU, nullptr}, &plan) == ROOK_REFUSED);
  CHECK(rook_nms_workspace(nullptr, {ROOK_CPU, nullptr}, nullptr) == ROOK_REFUSED);
  CHECK(rook_describe_device(ROOK_CPU, nullptr, 5) == ROOK_REFUSED);

  args = negative_values(&value, 1);
  CHECK(rook_activation_forward(&args, {ROOK_CPU, nullptr}) == ROOK_OK);
  CHECK(value == 0);
}

TEST_CASE("C interface: memory of a device, and text that is cut") {
  for (const rook_device device : devices()) {
    void* memory = nullptr;
    float values[] = {-2, 3, -4}, back[3];
    CHECK(rook_allocate(device, sizeof values, &memory) == ROOK_OK);
    CHECK(reinterpret_cast<std::uintptr_t>(memory) % 256 == 0);
    const rook_stream stream{device, nullptr};
    CHECK(rook_copy(memory, values, sizeof values, stream) == ROOK_OK);
    const rook_activation_forward_args args = negative_values(static_cast<float*>(memory), 3);
    CHECK(rook_activation_forward(&args, stream) == ROOK_OK);
    CHECK(rook_copy(back, memory, sizeof values, stream) == ROOK_OK);
    CHECK(rook_synchronize(stream) == ROOK_OK);
    CHECK((back[0] == 0 && back[1] == 3 && back[2] == 0));
    CHECK(rook_release(device, memory) == ROOK_OK);
  }
  char text[4] = "xyz";
  CHECK(rook_describe_device(ROOK_CPU, text, sizeof text) == ROOK_OK);
  CHECK(std::strlen(text) == 3);
  CHECK(rook_abi_version() == ROOK_ABI);
}
