// The range that an observer has seen, and the scale and zero point that follow from it.
#include "math.h"
#include "rows.h"

namespace trn {
namespace {

// The running extreme after one more is seen; the first takes the place of an infinity.
float moved(float running, float seen, float weight) {
  return running - running == 0 ? running + weight * (seen - running) : seen;
}

struct Affine {
  float scale;
  int32_t zero_point;
};

// Of integers low to high that stand for numbers smallest to largest, zero exactly; in double until
// the end, as PyTorch's ChooseQuantizationParams (ATen/native/quantized/cpu/QuantUtils.h).
Affine affine_of(float smallest, float largest, int64_t low, int64_t high, bool symmetric) {
  constexpr float kSmallest = 6.1e-5f;  // of scales
  const double steps = static_cast<double>(high - low);
  const bool both_signs = smallest < 0 && largest > 0;
  if (both_signs && symmetric) {
    const int64_t half = (high - low) / 2;
    const double below = -smallest / static_cast<double>(half + 1);
    const double above = largest / static_cast<double>(half);
    const double widest = below < above ? above : below;
    smallest = static_cast<float>(-widest * static_cast<double>(half + 1));
    largest = static_cast<float>(widest * static_cast<double>(half));
  }
  smallest = smallest < 0 ? smallest : 0;
  largest = largest > 0 ? largest : 0;
  double scale = (static_cast<double>(largest) - smallest) / steps;
  if (static_cast<float>(scale) == 0 || 1.0f / static_cast<float>(scale) == infinity<float>())
    scale = 0.1;
  if (scale < kSmallest) {
    const float wider = kSmallest / static_cast<float>(scale);
    if (smallest == 0) largest = kSmallest * static_cast<float>(steps);
    else if (largest == 0) smallest = -kSmallest * static_cast<float>(steps);
    else smallest *= wider, largest *= wider;
    scale = kSmallest;
  }
  // The end that is nearer to zero gives the zero point with the smaller error.
  const double begin = static_cast<double>(low), end = static_cast<double>(high);
  const double from_low = smallest / scale, from_high = largest / scale;
  const bool by_low = __builtin_fabs(begin) - __builtin_fabs(from_low) <
                      __builtin_fabs(end) - __builtin_fabs(from_high);
  double zero = by_low ? begin - from_low : end - from_high;
  if (both_signs && symmetric) zero = (begin + end) / 2;
  zero = zero < begin ? begin : zero > end ? end : __builtin_nearbyint(zero);
  return {static_cast<float>(scale), static_cast<int32_t>(zero)};
}

// operands: running_min, running_max, scale (f32) and zero_point (i32), one a channel and all
// changed where they lie; the smallest and the largest of what is observed (f32); observer_on,
// fake_quant_on (one element each). reals: the weight of what is observed. ints: the smallest and
// the largest integer, whether the range is symmetric. Items are channels.
void observe(const Call& call, const Range& range) {
  const Operand* o = call.operand;
  const bool observes = get(o[6], 0) != 0, quantizes = get(o[7], 0) != 0;
  const float weight = static_cast<float>(call.reals[0]);
  for (int64_t c = range.begin; c < range.end; ++c) {
    float &low = o[0].as<float>()[c], &high = o[1].as<float>()[c];
    if (observes) {
      low = moved(low, o[4].as<float>()[c], weight);
      high = moved(high, o[5].as<float>()[c], weight);
    }
    if (!quantizes) continue;
    const Affine a = affine_of(low, high, call.ints[0], call.ints[1], call.ints[2]);
    o[2].as<float>()[c] = a.scale;
    o[3].as<int32_t>()[c] = a.zero_point;
  }
}

TRN_REGISTER("observe_range", DType::f32, observe);

}  // namespace
}  // namespace trn
