// Lines of images under runs of Winograd's tiles: read, transformed, written.
#pragma once

#include "winograd.h"

namespace trn {
namespace {

TRN_INLINE int64_t lanes_from(int64_t first, int64_t all) {
  return all - first < kLanes ? all - first : kLanes;
}
TRN_INLINE int64_t clamp(int64_t x, int64_t low, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

// n < 2 * part numbers, moved in parts that halve.
template <int part = kLanes, class S>
TRN_INLINE void move_some(S* to, const S* from, int64_t n) {
  if (n & part) {
    __builtin_memcpy(to, from, part * sizeof(S));
    to += part, from += part;
  }
  if constexpr (part > 1) move_some<part / 2>(to, from, n);
}

// Vectors of memory's type S as floats and back. Compilers do not see vectors in loops over bf16_t.
template <class S>
struct Stored {
  S lane[kLanes];
  TRN_INLINE operator Floats() const {
    alignas(64) float x[kLanes];
    for (int l = 0; l < kLanes; ++l) x[l] = lane[l];
    return load(x);
  }
  TRN_INLINE static Stored of(Floats v) {
    Stored s;
    for (int l = 0; l < kLanes; ++l) s.lane[l] = S(v[l]);
    return s;
  }
};
template <>
struct Stored<bf16_t> {
  typedef uint32_t Bits __attribute__((vector_size(kVectorBytes)));
  typedef uint16_t Halves __attribute__((vector_size(kVectorBytes / 2)));
  bf16_t lane[kLanes];
  TRN_INLINE operator Floats() const {
    Halves h;
    __builtin_memcpy(&h, lane, sizeof h);
    return reinterpret_cast<Floats>(__builtin_convertvector(h, Bits) << 16);
  }
  TRN_INLINE static Stored of(Floats v) {  // as float_to_bf16
    const Bits u = reinterpret_cast<Bits>(v), rounded = (u + 0x7fffu + ((u >> 16) & 1)) >> 16;
    const Halves h = __builtin_convertvector(
        (u & 0x7fffffffu) > 0x7f800000u ? Bits{} + 0x7fc0u : rounded, Halves);
    Stored s;
    __builtin_memcpy(s.lane, &h, sizeof h);
    return s;
  }
};

// The first n numbers of a vector, in memory of type S.
template <class S>
TRN_INLINE Floats take(const S* from, int64_t n) {
  Stored<S> x;
  if (n == kLanes) {
    __builtin_memcpy(&x, from, sizeof x);
  } else {
    __builtin_memset(&x, 0, sizeof x);
    move_some(x.lane, from, n);
  }
  return x;
}
template <class S>
TRN_INLINE void put(S* to, Floats v, int64_t n, int64_t step = 1) {
  const Stored<S> x = Stored<S>::of(v);
  if (step != 1)
    for (int64_t l = 0; l < n; ++l) to[l * step] = x.lane[l];
  else if (n == kLanes) __builtin_memcpy(to, &x, sizeof x);
  else move_some(to, x.lane, n);
}

// kLanes channels of an image [n, c, d, h, w, segments] from one on: its channels are those of the
// first segment, then those of the next. Channels or lines are dense; of several segments channels.
struct Lanes {
  struct Piece {
    int64_t from;  // in the image
    int lane, lanes;
  };
  Piece piece[kLanes];
  int pieces = 0;
  int64_t channels;

  Lanes(const Operand& image, int64_t first) {
    const int64_t each = image.sizes[1], all = each * image.sizes[5];
    channels = lanes_from(first, all);
    for (int64_t lane = 0; lane < channels;) {
      const int64_t c = (first + lane) % each, segment = (first + lane) / each;
      const int64_t n = each - c < channels - lane ? each - c : channels - lane;
      piece[pieces++] = {segment * image.strides[5] + c * image.strides[1], static_cast<int>(lane),
                         static_cast<int>(n)};
      lane += n;
    }
  }
};

// Positions [begin, end) of a line whose channels are dense. Whole vectors are read before `last`
// and written: what a piece has too much is overwritten by what follows it.
template <class S>
TRN_INLINE void read_channels(const S* from, int64_t step, int64_t begin, int64_t end,
                              const Lanes& lanes, int64_t ahead, const S* last, Word* line) {
  // How far ahead lines are fetched, by the first lanes for all: positions are too far apart for
  // the processor to foresee.
  constexpr int64_t kAhead = 6;
  for (int64_t j = begin; j < end; ++j) {
    const S* at = from + j * step;
    for (int64_t c = 0; c < ahead; c += 64 / sizeof(S)) __builtin_prefetch(at + kAhead * step + c);
    for (int p = 0; p < lanes.pieces; ++p) {
      const auto& piece = lanes.piece[p];
      const S* s = at + piece.from;
      store(line + j * kLanes + piece.lane, take(s, s + kLanes <= last ? kLanes : piece.lanes));
    }
  }
}

// The same of a line whose positions are dense.
template <class S>
TRN_INLINE void read_positions(const S* from, int64_t apart, int64_t begin, int64_t end,
                               int64_t channels, const S* last, Word* square, Word* line) {
  for (int64_t j = begin; j < end; j += kLanes) {
    for (int64_t c = 0; c < channels; ++c) {
      const S* at = from + c * apart + j;
      store(square + c * kLanes, take(at, at + kLanes <= last ? kLanes : lanes_from(j, end)));
      __builtin_prefetch(at + kLanes * apart);
    }
    transpose<false>(square, kLanes, line + j * kLanes, kLanes, kLanes, kLanes, 1);
  }
}

// `high` lines of `width` positions of an image from (y, x) on, kLanes channels beside each other;
// zero outside. Behind the lines a square of vectors is overwritten.
template <class S>
void read_lines(const Operand& image, int64_t n, int64_t z, int64_t y, int64_t x, int64_t high,
                int64_t width, int64_t c0, Word* lines) {
  const int64_t* s = image.strides;
  const int64_t first = clamp(-x, 0, width), last = clamp(image.sizes[4] - x, first, width);
  const Lanes lanes(image, c0);
  int64_t size = 1;
  for (int d = 0; d < 6; ++d) size += (image.sizes[d] - 1) * s[d];
  alignas(64) Word square[kLanes * kLanes] = {};
  for (int64_t i = 0; i < high; ++i, ++y) {
    Word* line = lines + i * width * kLanes;
    const bool inside = y >= 0 && y < image.sizes[3];
    const int64_t begin = inside ? first : width, end = inside ? last : width;
    const S* from = image.as<S>() + n * s[0] + z * s[2] + y * s[3] + x * s[4];
    for (int64_t j = 0; j < begin; ++j) store(line + j * kLanes, Floats{});
    if (s[1] == 1)
      read_channels(from, s[4], begin, end, lanes, c0 ? 0 : image.sizes[1], image.as<S>() + size,
                    line);
    else
      read_positions(from + lanes.piece[0].from, s[1], begin, end, lanes.channels,
                     image.as<S>() + size, square, line);
    for (int64_t j = end; j < width; ++j) store(line + j * kLanes, Floats{});
  }
}

// Lines of a run of tiles to a plane of results [n, c, d, h, w], kLanes channels of a phase; what
// lies outside is dropped.
template <class S>
void write_lines(const Operand& out, const WinogradShape& shape, int64_t phase, int64_t n,
                 int64_t z, int64_t y, int64_t x, int64_t width, int64_t c0, const Word* lines) {
  const int64_t *s = out.strides, *stride = shape.stride;
  const int64_t channels = lanes_from(c0, out.sizes[1]);
  const int64_t top = phase / stride[1] + shape.shift[0], left = phase % stride[1] + shape.shift[1];
  const int64_t step = stride[1] * s[4];
  // Results [first, wanted) of a line are there.
  const int64_t first = x * stride[1] + left < 0 ? 1 : 0;
  const int64_t room = (out.sizes[4] - left + stride[1] - 1) / stride[1] - x;
  const int64_t wanted = room < width ? room : width;
  alignas(64) Word square[kLanes * kLanes];
  for (int64_t i = 0; i < shape.side[0] && y + i < shape.grid[0]; ++i) {
    const int64_t line = (y + i) * stride[0] + top;
    if (line < 0 || line >= out.sizes[3]) continue;
    const Word* from = lines + i * width * kLanes;
    S* to =
        out.as<S>() + n * s[0] + c0 * s[1] + z * s[2] + line * s[3] + (x * stride[1] + left) * s[4];
    if (s[1] == 1)
      for (int64_t j = first; j < wanted; ++j)
        put(to + j * step, load(from + j * kLanes), channels);
    else
      for (int64_t j = first; j < wanted; j += kLanes) {
        transpose<false>(from + j * kLanes, kLanes, square, kLanes, kLanes, kLanes, 1);
        for (int64_t c = 0; c < channels; ++c)
          put(to + c * s[1] + j * step, load(square + c * kLanes), lanes_from(j, wanted), step);
      }
  }
}

// Transformed runs of tiles [begin, end) of a plane, channels beside each other: patches of an
// image of `padding` (kAll), or the tiles of results themselves.
template <class S, class T, int kDown, int kAcross, bool kAll>
void transform_plane(const Operand& image, const WinogradShape& shape, int64_t z, int64_t begin,
                     int64_t end, Word* lines, const Points& to) {
  constexpr int kHigh = kAll ? patch_of(kDown) : kDown, kWide = kAll ? kPatchSide : kAcross;
  const int64_t* padding = shape.padding;
  const int64_t top = kAll ? padding[1] : 0, left = kAll ? padding[2] : 0;
  const Tiles tiles(shape);
  tiles.for_runs(begin, end, [&](int64_t n, int64_t y, int64_t x, int64_t many, int64_t at) {
    const int64_t width = kAcross * many + kWide - kAcross;
    for (int64_t c0 = 0; c0 < image.sizes[1] * image.sizes[5]; c0 += kLanes) {
      read_lines<S>(image, n, z, y * kDown - top, x * kAcross - left, kHigh, width, c0, lines);
      for (int64_t t = 0; t < many; ++t)
        transform<T, kHigh, kWide, patch_of(kDown), kPatchSide>(
            [&](int i, int j) { return load(lines + (i * width + t * kAcross + j) * kLanes); },
            [&](int i, int j, Floats v) { store(to.at(i * kPatchSide + j, at + t) + c0, v); });
    }
  });
}
template <class S>
void transform_patches(const Operand& image, const WinogradShape& shape, int64_t z, int64_t begin,
                       int64_t end, Word* lines, const Points& to) {
  by_sides(shape.side, [&]<int down, int across>() {
    transform_plane<S, Patch, down, across, true>(image, shape, z, begin, end, lines, to);
  });
}
template <class S>
void transform_gradients(const Operand& grad, const WinogradShape& shape, int64_t z, int64_t begin,
                         int64_t end, Word* lines, const Points& to) {
  by_sides(shape.side, [&]<int down, int across>() {
    transform_plane<S, Values<false>, down, across, false>(grad, shape, z, begin, end, lines, to);
  });
}

// The transformed planes that results on a plane read, a slot for each tap along z: the planes of
// an image follow each other, so that all but one are there from the result before.
template <class S>
struct Planes {
  const Operand& image;
  const WinogradShape& shape;
  Points slot[kMostDepth];
  int64_t held[kMostDepth];

  Planes(const Operand& from, const WinogradShape& s, int64_t block, Word* memory)
      : image(from), shape(s) {
    const int64_t row = patch_row(image.sizes[1] * image.sizes[5]);
    for (int64_t d = 0; d < shape.depth; ++d) {
      slot[d] = Points(memory + d * shape.points() * point_step(block * row), block, row);
      held[d] = -1;
    }
  }
  Word* end() const { return slot[0].data + shape.depth * shape.points() * slot[0].step; }
  // Those of tiles [begin, end) for tap d of plane z of the results; null outside of the image.
  const Points* at(int64_t z, int64_t d, int64_t begin, int64_t end, Word* lines) {
    const int64_t plane = z + d - shape.padding[0];
    if (plane < 0 || plane >= image.sizes[2]) return nullptr;
    const int64_t k = plane % shape.depth;
    if (held[k] != plane) transform_patches<S>(image, shape, plane, begin, end, lines, slot[k]);
    held[k] = plane;
    return &slot[k];
  }
};

}  // namespace
}  // namespace trn
