// Random numbers of a device: Philox, with CUDA's state of a seed and an offset.
#pragma once

#include <ATen/core/Generator.h>
#include <c10/core/GeneratorImpl.h>

#include <optional>
#include <utility>

namespace trn::runtime {

// The generator of device `index` (-1: the current one) that operators draw from by default.
const at::Generator& default_generator(c10::DeviceIndex index);
at::Generator new_generator(c10::DeviceIndex index);

// Takes `count` Philox counters for one launch: the seed and the first offset, which no other
// launch gets. Without a generator the device's default one is asked. Raises for a generator of
// another device type. Offsets grow in fours, as CUDA's do. In a graph
// capture both are marks that each replay puts numbers in place of: pass them on unchanged, side
// by side among the launch's integers.
std::pair<uint64_t, uint64_t> reserve(const std::optional<at::Generator>& generator,
                                      c10::DeviceIndex device, uint64_t count);

}  // namespace trn::runtime
