// A Philox generator is a seed and an offset; the numbers themselves are made by the kernels.
#include "runtime/generator.h"

#include <ATen/Utils.h>
#include <ATen/ops/empty.h>
#include <c10/util/Exception.h>

#include <array>
#include <cstring>
#include <mutex>

#include "base/spoken.h"
#include "runtime/capture.h"

namespace trn::runtime {
namespace {

constexpr int64_t kStateBytes = 2 * sizeof(uint64_t);

class PhiloxGenerator final : public c10::GeneratorImpl {
 public:
  explicit PhiloxGenerator(c10::DeviceIndex index)
      : GeneratorImpl(c10::Device(c10::kPrivateUse1, index),
                      c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)) {}

  void set_current_seed(uint64_t seed) override {
    refuse_in_capture(current_stream(device().index()), "seeding a generator");
    seed_ = seed;
    offset_ = 0;
  }
  void set_offset(uint64_t offset) override {
    TORCH_CHECK(offset % 4 == 0, "offset must be a multiple of 4");
    offset_ = offset;
  }
  uint64_t get_offset() const override { return offset_; }
  uint64_t current_seed() const override { return seed_; }
  uint64_t seed() override {
    set_current_seed(c10::detail::getNonDeterministicRandom(true));
    return seed_;
  }

  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    at::Tensor state =
        at::empty({kStateBytes}, at::TensorOptions().dtype(at::kByte).device(at::kCPU));
    const uint64_t words[2] = {seed_, offset_};
    std::memcpy(state.data_ptr(), words, kStateBytes);
    return state.getIntrusivePtr();
  }
  void set_state(const c10::TensorImpl& state) override {
    at::detail::check_rng_state(state);
    TORCH_CHECK(state.numel() == kStateBytes || state.numel() == kStateBytes / 2,
                "RNG state is wrong size");
    uint64_t words[2] = {0, 0};
    std::memcpy(words, state.data(), state.numel());
    set_current_seed(words[0]);
    set_offset(words[1]);
  }
  void graphsafe_set_state(const c10::intrusive_ptr<c10::GeneratorImpl>& state) override {
    const auto* other = dynamic_cast<const PhiloxGenerator*>(state.get());
    TORCH_CHECK(other, "expected a trn generator");
    seed_ = other->seed_;
    offset_ = other->offset_;
  }
  c10::intrusive_ptr<c10::GeneratorImpl> graphsafe_get_state() const override {
    return c10::intrusive_ptr<PhiloxGenerator>::reclaim(clone_impl());
  }

  uint64_t reserve(uint64_t count) { return std::exchange(offset_, offset_ + (count + 3) / 4 * 4); }

 private:
  PhiloxGenerator* clone_impl() const override {
    auto* copy = new PhiloxGenerator(device().index());
    copy->seed_ = seed_;
    copy->offset_ = offset_;
    return copy;
  }

  uint64_t seed_ = c10::default_rng_seed_val;
  uint64_t offset_ = 0;
};

}  // namespace

at::Generator new_generator(c10::DeviceIndex index) {
  if (index < 0) index = current_device();
  TORCH_CHECK(index < device_count(), "The device_index is invalid.");
  return at::make_generator<PhiloxGenerator>(index);
}

const at::Generator& default_generator(c10::DeviceIndex index) {
  static auto* all = new std::array<at::Generator, 64>;
  static auto* once = new std::array<std::once_flag, 64>;
  if (index < 0) index = current_device();
  TORCH_CHECK(index < device_count(), "Invalid device index ", static_cast<int>(index));
  std::call_once((*once)[index], [&] { (*all)[index] = new_generator(index); });
  return (*all)[index];
}

std::pair<uint64_t, uint64_t> reserve(const std::optional<at::Generator>& generator,
                                      c10::DeviceIndex device, uint64_t count) {
  const at::Generator& g =
      generator && generator->defined() ? *generator : default_generator(device);
  TORCH_CHECK(g.device().is_privateuseone(), "Expected a '", spoken_device(),
              "' device type for generator but found '", g.device().type(), "'");
  if (Capture* capture = capture_of(current_stream(g.device().index())))
    return capture->draw(g, count);
  auto* philox = static_cast<PhiloxGenerator*>(g.unsafeGetGeneratorImpl());
  std::lock_guard lock(philox->mutex_);
  const uint64_t offset = philox->reserve(count);
  return {philox->current_seed(), offset};
}

}  // namespace trn::runtime
