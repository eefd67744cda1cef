// Rows of channels against one element at a time, at every instruction set.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "convert.h"

namespace trn {
namespace {

Operand operand(void* data, DType type, const std::vector<int64_t>& sizes,
                const std::vector<int64_t>& strides) {
  Operand o{};
  o.data = data;
  o.dtype = type;
  o.ndim = static_cast<int8_t>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), o.sizes);
  std::copy(strides.begin(), strides.end(), o.strides);
  return o;
}

// Channels, width of the image and of the rows, position of its start, lines of an item.
struct Case {
  int64_t channels, width, wide, before, lines;
};

// To rows of type U from an image of type S, both known by their conversion from float.
template <class U, class S>
void check(DType type, const Case& c, bool last) {
  const int64_t height = 3, tall = 4, n = 2;
  std::vector<S> image(n * c.channels * height * c.width);
  for (size_t i = 0; i < image.size(); ++i) image[i] = S(static_cast<float>(i % 251) + 1);
  std::vector<U> rows(n * tall * c.wide * c.channels, U(-1.f));
  const int64_t volume = height * c.width;
  const std::vector<int64_t> strides =
      last ? std::vector<int64_t>{c.channels * volume, 1, 0, c.width * c.channels, c.channels}
           : std::vector<int64_t>{c.channels * volume, volume, 0, c.width, 1};
  Call call{};
  const int64_t plane = c.wide * c.channels;
  call.operand[0] = operand(rows.data(), type, {n, 1, tall, c.wide, c.channels},
                            {tall * plane, tall * plane, plane, c.channels, 1});
  call.operand[1] =
      operand(image.data(), DTypeOf<S>::value, {n, c.channels, 1, height, c.width}, strides);
  const int64_t ints[] = {0, 1, c.before, c.lines};
  std::copy(ints, ints + 4, call.ints);
  const Kernel* kernel = find_kernel("conv_rows", type);
  ASSERT_TRUE(kernel);
  kernel->run(call, Range{0, 1, nullptr, nullptr});
  kernel->run(call, Range{1, n * ((tall + c.lines - 1) / c.lines), nullptr, nullptr});
  for (int64_t i = 0; i < static_cast<int64_t>(rows.size()); ++i) {
    const int64_t channel = i % c.channels, position = i / c.channels;
    const int64_t x = position % c.wide - c.before, y = position / c.wide % tall - 1;
    const bool inside = x >= 0 && x < c.width && y >= 0 && y < height;
    const int64_t image_at = position / c.wide / tall * strides[0] + channel * strides[1] +
                             y * strides[3] + x * strides[4];
    const float expected = inside ? static_cast<float>(image[image_at]) : 0.f;
    ASSERT_EQ(static_cast<float>(rows[i]), expected)
        << isa_name(kernel->isa) << " last " << last << " channels " << c.channels << " element "
        << i;
  }
}

TEST(ConvRows, HoldTheImageAndZeros) {
  const Case cases[] = {{3, 9, 11, 1, 1},     {3, 20, 22, 1, 3},   {16, 16, 18, 1, 4},
                        {33, 17, 19, 2, 2},   {33, 5, 7, 1, 4},    {64, 35, 35, 0, 3},
                        {62, 30, 26, -2, 4},  {62, 48, 40, -2, 2}, {5, 7, 9, 2, 1},
                        {70, 40, 44, -50, 2}, {1, 5, 12, 9, 4}};
  const Isa before = active_isa();
  for (Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
    set_active_isa(isa);
    for (const Case& c : cases)
      for (bool last : {false, true}) {
        check<float, float>(DType::f32, c, last);
        check<float, f16_t>(DType::f32, c, last);
        check<float, bf16_t>(DType::f32, c, last);
        check<bf16_t, bf16_t>(DType::bf16, c, last);
        check<double, double>(DType::f64, c, last);
        check<int64_t, int64_t>(DType::i64, c, last);
      }
  }
  set_active_isa(before);
}

}  // namespace
}  // namespace trn
