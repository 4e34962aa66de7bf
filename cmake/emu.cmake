# rook_emu: the same .cu files compiled by the host's compiler against the stand-in headers of kernels/emu/include.
if(ROOK_EMU)
  find_package(Boost REQUIRED COMPONENTS context)  # fibers: one for each CUDA thread
  set(emu_sources)
  foreach(source ${cuda_sources})
    get_filename_component(name ${source} NAME_WE)
    set(wrapper ${PROJECT_BINARY_DIR}/emu/${name}.emu.cpp)
    file(GENERATE OUTPUT ${wrapper} CONTENT "#include \"kernels/${name}.cu\"\n")
    list(APPEND emu_sources ${wrapper})
  endforeach()

  function(emu_library name)
    add_library(${name} STATIC ${emu_sources} ${emu_machine})
    set_target_properties(${name} PROPERTIES UNITY_BUILD_BATCH_SIZE 12)
    target_include_directories(${name} BEFORE PRIVATE ${PROJECT_SOURCE_DIR}/kernels/emu/include)
    target_link_libraries(${name} PUBLIC rook_kernels Boost::context)
    target_compile_options(${name} PRIVATE -Wno-unknown-pragmas)  # "unroll" is nvcc's
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      # False alarms where a vector of values is filled through a reference to an array.
      target_compile_options(${name} PRIVATE -Wno-maybe-uninitialized -Wno-uninitialized)
    endif()
  endfunction()

  file(GLOB emu_machine CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/emu/*.cpp)
  emu_library(rook_emu)
  if(ROOK_SANITIZE_THREADS)
    emu_library(rook_emu_watched)
    target_link_libraries(rook_emu_watched PRIVATE rook_watched)
  endif()
endif()
