# The torch-facing half: generated wrappers, libtorch_trn.so, and the Python door _C.
# torch's own CMake package is not used: that of a CUDA build demands a CUDA toolkit.
find_package(Python COMPONENTS Interpreter Development.Module REQUIRED)
execute_process(
  COMMAND ${Python_EXECUTABLE} -c
          "import os; os.environ['TORCH_DEVICE_BACKEND_AUTOLOAD']='0'; import torch; print(os.path.dirname(torch.__file__)+';'+torch.__version__)"
  OUTPUT_VARIABLE torch_facts OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
list(GET torch_facts 0 TORCH_DIR)
list(GET torch_facts 1 TORCH_VERSION)
if(NOT TORCH_VERSION MATCHES "^2\\.(11|12|13)\\.")
  message(FATAL_ERROR "torch-trn needs torch 2.13; found ${TORCH_VERSION} in ${TORCH_DIR}")
endif()

add_library(torch_headers INTERFACE)
target_include_directories(torch_headers SYSTEM INTERFACE
  ${TORCH_DIR}/include ${TORCH_DIR}/include/torch/csrc/api/include)
# The stub tables of DispatchStub are laid out by what the CPU build compiled in.
target_compile_definitions(torch_headers INTERFACE
  HAVE_AVX2_CPU_DEFINITION HAVE_AVX512_CPU_DEFINITION USE_DISTRIBUTED)
target_link_directories(torch_headers INTERFACE ${TORCH_DIR}/lib)
target_link_libraries(torch_headers INTERFACE torch torch_cpu c10)

# Wrappers with PyTorch's own shape and type rules, from the installed torch's declarations.
file(GLOB OP_SOURCES CONFIGURE_DEPENDS csrc/ops/*.cpp)
file(GLOB CODEGEN_SOURCES CONFIGURE_DEPENDS csrc/ops/codegen/*.py csrc/ops/codegen/*.txt)
set(GENERATED_DIR ${CMAKE_BINARY_DIR}/generated)
set(SHARDS 8)
math(EXPR last_shard "${SHARDS} - 1")
set(GENERATED_SOURCES)
foreach(i RANGE ${last_shard})
  list(APPEND GENERATED_SOURCES ${GENERATED_DIR}/register_${i}.cpp)
endforeach()
list(APPEND GENERATED_SOURCES ${GENERATED_DIR}/register_layouts.cpp)
# The classes of structured operators, one header for each family file.
set(GENERATED_HEADERS)
foreach(source ${OP_SOURCES})
  get_filename_component(stem ${source} NAME_WE)
  list(APPEND GENERATED_HEADERS ${GENERATED_DIR}/${stem}.structured.h)
endforeach()
add_custom_command(
  OUTPUT ${GENERATED_SOURCES} ${GENERATED_HEADERS}
  COMMAND ${CMAKE_COMMAND} -E env TORCH_DEVICE_BACKEND_AUTOLOAD=0
          ${Python_EXECUTABLE} ${CMAKE_SOURCE_DIR}/csrc/ops/codegen/generate.py
          --sources ${CMAKE_SOURCE_DIR}/csrc/ops --shards ${SHARDS} --out ${GENERATED_DIR}
  DEPENDS ${CODEGEN_SOURCES} ${OP_SOURCES}
  COMMENT "Generating operator wrappers for torch ${TORCH_VERSION}")

# What compiled wrappers and packages call, and the headers that they include.
set(INDUCTOR_HEADERS ${TRN_OUTPUT}/share/inductor)
set(SHIM_HEADER ${INDUCTOR_HEADERS}/torch/csrc/inductor/aoti_torch/generated/c_shim_trn.h)
set(SHIM_SOURCE ${GENERATED_DIR}/c_shim_trn.cpp)
add_custom_command(
  OUTPUT ${SHIM_HEADER} ${SHIM_SOURCE}
  COMMAND ${CMAKE_COMMAND} -E env TORCH_DEVICE_BACKEND_AUTOLOAD=0 ${Python_EXECUTABLE}
          ${CMAKE_SOURCE_DIR}/csrc/inductor/c_shim.py ${SHIM_HEADER} ${SHIM_SOURCE}
  DEPENDS ${CMAKE_SOURCE_DIR}/csrc/inductor/c_shim.py
  COMMENT "Generating C functions of operators for torch ${TORCH_VERSION}")
file(GLOB_RECURSE INCLUDED CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/csrc/inductor/include
  csrc/inductor/include/*.h)
foreach(header ${INCLUDED})
  configure_file(csrc/inductor/include/${header} ${INDUCTOR_HEADERS}/${header} COPYONLY)
endforeach()
foreach(header csrc/inductor/runtime_api.h csrc/ops/host_functions.h)
  get_filename_component(name ${header} NAME)
  configure_file(${header} ${INDUCTOR_HEADERS}/torch_trn/inductor/${name} COPYONLY)
endforeach()

file(GLOB TORCH_SOURCES CONFIGURE_DEPENDS csrc/runtime/*.cpp csrc/ops/*.cpp csrc/comm/*.cpp
  csrc/profile/*.cpp csrc/inductor/*.cpp)
add_library(torch_trn SHARED ${TORCH_SOURCES} ${GENERATED_SOURCES} ${GENERATED_HEADERS}
  ${SHIM_HEADER} ${SHIM_SOURCE}
  $<TARGET_OBJECTS:trn_kernels> $<TARGET_OBJECTS:trn_driver>)
set_source_files_properties(${CMAKE_SOURCE_DIR}/csrc/profile/kineto.cpp PROPERTIES
  COMPILE_FLAGS "-isystem ${TORCH_DIR}/include/kineto")
set_source_files_properties(${GENERATED_SOURCES} PROPERTIES COMPILE_FLAGS "-O1 -w")
set_source_files_properties(${SHIM_SOURCE} PROPERTIES
  COMPILE_FLAGS "-O1 -w -I${INDUCTOR_HEADERS}")
target_include_directories(torch_trn PRIVATE csrc kernels ${GENERATED_DIR})
# Most of a file's time goes into these: parsed once for all.
target_precompile_headers(torch_trn PRIVATE
  <ATen/Dispatch.h> <ATen/ExpandUtils.h> <ATen/OpMathType.h> <ATen/TensorIterator.h>
  <ATen/TensorOperators.h> <ATen/TensorUtils.h> <ATen/WrapDimUtils.h> <ATen/core/Tensor.h>
  <ATen/native/DispatchStub.h> <ATen/native/Resize.h> <ATen/ops/empty.h> <ATen/ops/empty_like.h>
  <ATen/ops/zeros.h> <c10/core/DeviceGuard.h> <torch/library.h>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(torch_trn PRIVATE -fpch-preprocess)  # ccache asks for it
endif()
target_link_libraries(torch_trn PUBLIC torch_headers Threads::Threads ${CMAKE_DL_LIBS})
set_target_properties(torch_trn PROPERTIES
  LIBRARY_OUTPUT_DIRECTORY ${TRN_OUTPUT}/lib
  LINK_FLAGS "-Wl,--no-undefined"
  BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN:$ORIGIN/../../torch/lib")

# What other people's operators and drivers include, as <torch_trn/...>.
foreach(header kernels/kernel.h kernels/dtype.h csrc/base/status.h csrc/driver/driver.h
        csrc/ops/launch.h csrc/runtime/device.h csrc/runtime/stream.h)
  string(REGEX REPLACE "^(csrc|kernels)/" "" installed ${header})
  configure_file(${CMAKE_SOURCE_DIR}/${header} ${TRN_OUTPUT}/share/include/torch_trn/${installed}
                 COPYONLY)
endforeach()

file(GLOB BIND_SOURCES CONFIGURE_DEPENDS csrc/bind/*.cpp)
Python_add_library(_C MODULE ${BIND_SOURCES})
target_include_directories(_C PRIVATE csrc kernels)
target_link_libraries(_C PRIVATE torch_trn torch_python)
set_target_properties(_C PROPERTIES
  PREFIX "" SUFFIX ".so" LIBRARY_OUTPUT_DIRECTORY ${TRN_OUTPUT}
  BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/lib:$ORIGIN/../torch/lib")
