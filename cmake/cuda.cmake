# rook_cuda: the kernels compiled by nvcc. Sets ROOK_HAS_CUDA.
set(ROOK_HAS_CUDA OFF)
if(ROOK_CUDA)
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(ROOK_HAS_CUDA ON)
  elseif(NOT ROOK_CUDA STREQUAL "AUTO")
    message(FATAL_ERROR "ROOK_CUDA is ${ROOK_CUDA}, but there is no CUDA compiler; put nvcc on the PATH or set CUDACXX")
  endif()
endif()

if(ROOK_HAS_CUDA)
  set(CMAKE_CUDA_ARCHITECTURES ${ROOK_CUDA_ARCHITECTURES})
  enable_language(CUDA)
  # What CMake 3.25 does not know of nvcc 13.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  find_package(CUDAToolkit REQUIRED)
  # The formatting library's constant evaluation is more than nvcc digests.
  set(ROOK_NVCC_OPTIONS --expt-relaxed-constexpr "-DROOK_HOST_DEVICE=__host__ __device__" -DFMT_CONSTEVAL= -DFMT_USE_CONSTEXPR=1)
  # Code for GPUs is most of the program, and a seventh of its size when compressed well.
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL 12.9)
    list(APPEND ROOK_NVCC_OPTIONS --compress-mode=size)
  endif()
  add_library(rook_cuda STATIC ${cuda_sources})
  target_include_directories(rook_cuda PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(rook_cuda PRIVATE ${ROOK_NVCC_OPTIONS} -Xcompiler=-Wall -Xptxas=-v,-warn-spills)
  set_target_properties(rook_cuda PROPERTIES CUDA_COMPILER_LAUNCHER
                        "${PROJECT_SOURCE_DIR}/cmake/ptxas_log.sh$<$<BOOL:${CMAKE_CUDA_COMPILER_LAUNCHER}>:;${CMAKE_CUDA_COMPILER_LAUNCHER}>")
  target_link_libraries(rook_cuda PUBLIC CUDA::cudart_static fmt::fmt)
  include(cmake/cuda_libraries.cmake)
endif()

# rook_backend(NAME AVAILABLE): adds engine/gpu/NAME.cpp and the library rook_NAME to the engine, or no_NAME.cpp.
function(rook_backend name available)
  if(available)
    target_sources(rook_engine PRIVATE ${PROJECT_SOURCE_DIR}/engine/gpu/${name}.cpp)
    target_link_libraries(rook_engine PUBLIC rook_${name})
  else()
    target_sources(rook_engine PRIVATE ${PROJECT_SOURCE_DIR}/engine/gpu/no_${name}.cpp)
  endif()
endfunction()
