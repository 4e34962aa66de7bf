# The programs that test the emulated kernels and the emulator; with ROOK_SANITIZE_THREADS each a second time, the same
# tests with kernels that ThreadSanitizer watches.
set(emu_environment "ROOK_SOURCE_DIR=${PROJECT_SOURCE_DIR}")
set(watched_environment "${emu_environment};OMP_NUM_THREADS=1;TSAN_OPTIONS=halt_on_error=0:atexit_sleep_ms=0")

# emu_tests(PROGRAM PREFIX ENVIRONMENT): the tests of a program in parts, side by side, then whether they ran every
# kernel between them.
function(emu_tests program prefix environment)
  # By themselves those with blocks of 1024 threads: whatever synchronises costs ThreadSanitizer as many steps as there
  # have been threads in the program.
  set(large_blocks "head*,nms*")
  set(losses "region*,yolo_loss*")
  add_test(NAME ${prefix} COMMAND ${program} "-tce=*conv*,${large_blocks},${losses}")
  add_test(NAME ${prefix}_conv COMMAND ${program} "-tc=*conv*")
  add_test(NAME ${prefix}_heads COMMAND ${program} "-tc=${large_blocks}")
  add_test(NAME ${prefix}_losses COMMAND ${program} "-tc=${losses}")
  set(lists)
  foreach(test ${prefix} ${prefix}_conv ${prefix}_heads ${prefix}_losses)
    set(list ${PROJECT_BINARY_DIR}/${test}.ran)
    set_tests_properties(${test} PROPERTIES LABELS emu FIXTURES_SETUP ${prefix}_ran
                         ENVIRONMENT "${environment};ROOK_KERNELS_RAN=${list}")
    list(APPEND lists ${list})
  endforeach()
  add_test(NAME ${prefix}_every COMMAND ${program} --every ${lists})
  set_tests_properties(${prefix}_every PROPERTIES LABELS emu FIXTURES_REQUIRED ${prefix}_ran ENVIRONMENT "${environment}")
endfunction()

file(GLOB test_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/kernels/emu/*.cpp)
rook_test(test_emu ${test_sources} ${PROJECT_SOURCE_DIR}/tests/gpu.cpp ${PROJECT_SOURCE_DIR}/tests/main_emu.cpp LIBRARIES rook_engine)
if(ROOK_HAS_CUDA)
  target_compile_definitions(test_emu PRIVATE ROOK_TEST_CUDA)
endif()
if(ROOK_SANITIZE)
  emu_tests(test_emu emu "${emu_environment}")
else()
  add_test(NAME emu COMMAND test_emu)
  set_tests_properties(emu PROPERTIES LABELS emu ENVIRONMENT "${emu_environment}")
endif()

# emu_machine_test(NAME ENVIRONMENT LIBRARY...): the emulator itself, on kernels of the tests' own.
function(emu_machine_test name environment)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/emu/*.cpp)
  rook_test(test_${name} ${sources} LIBRARIES rook_test_main ${ARGN})
  target_include_directories(test_${name} BEFORE PRIVATE ${PROJECT_SOURCE_DIR}/kernels/emu/include)
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES LABELS emu ENVIRONMENT "${environment}")
endfunction()

emu_machine_test(emu_machine "${emu_environment}" rook_emu)

if(ROOK_SANITIZE_THREADS)
  # The tests, and all but the kernels, are the objects of the other program. Among options the kernels come before those:
  # of what both have, inline functions too, the linker takes the first copy that it meets, the watched one.
  add_executable(test_emu_watched $<TARGET_OBJECTS:test_emu>)
  target_link_options(test_emu_watched PRIVATE -fsanitize=thread
                      "LINKER:--whole-archive,$<TARGET_FILE:rook_emu_watched>,--no-whole-archive")
  set_target_properties(test_emu_watched PROPERTIES LINK_DEPENDS $<TARGET_FILE:rook_emu_watched>)
  target_link_libraries(test_emu_watched PRIVATE rook_base rook_engine)
  add_dependencies(test_emu_watched rook_emu_watched)
  emu_tests(test_emu_watched emu_watched "${watched_environment}")

  emu_machine_test(emu_machine_watched "${watched_environment}" rook_emu_watched rook_watched)
endif()
