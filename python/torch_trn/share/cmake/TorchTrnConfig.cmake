# find_package(TorchTrn) for C++ programs: the target torch_trn::torch_trn.
# Link it beside ${TORCH_LIBRARIES}; loading the library registers the device trn. The headers
# <torch_trn/...> are for operators with kernels of their own and for drivers.
get_filename_component(_torch_trn_dir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)
set(_torch_trn_library "${_torch_trn_dir}/lib/libtorch_trn.so")
if(NOT EXISTS "${_torch_trn_library}")
  set(TorchTrn_FOUND FALSE)
  set(TorchTrn_NOT_FOUND_MESSAGE "${_torch_trn_library} is missing: build torch-trn first")
  return()
endif()
if(NOT TARGET torch_trn::torch_trn)
  add_library(torch_trn::torch_trn SHARED IMPORTED)
  # A program that calls no symbol of it needs it too, so the linker must be told to keep it.
  set_target_properties(torch_trn::torch_trn PROPERTIES
    IMPORTED_LOCATION "${_torch_trn_library}" IMPORTED_NO_SONAME FALSE
    INTERFACE_INCLUDE_DIRECTORIES
      "${_torch_trn_dir}/share/include;${_torch_trn_dir}/share/include/torch_trn"
    INTERFACE_LINK_OPTIONS "LINKER:--no-as-needed")
endif()
set(TorchTrn_FOUND TRUE)
