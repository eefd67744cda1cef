// Convolutions of images whose channels are last, without any copy of their windows.
//
// A position of the output and a tap of the weight meet at a run of the image's memory: the
// channels, or, where the taps of a line follow each other, the channels of all of them. So sums
// of 14 positions and 32 channels stay in registers over the whole depth, numbers of the image are
// broadcast from where they lie, and the weight, packed once a call, streams by in the order of
// its use.
#pragma once

#include "convolution_positions.h"
#include "matmul_floats.h"

namespace trn {
namespace {

template <class Math>
struct Direct {
  using S = typename Math::Source;
  using U = typename Math::Unit;
  using A = typename Math::Sum;
  using UV = typename Vec<U>::Type;
  using AV = typename Vec<A>::Type;
  static constexpr int64_t kPer = Math::kPer;
  static constexpr int kTileRows = kVectorBytes == 64 ? kConvRows : kRows;
  static constexpr int kLanes = Vec<A>::kLanes, kColumns = kVectors * kLanes;

  // Units that hold a run.
  TRN_INLINE static int64_t units_of(int64_t length) { return (length + kPer - 1) / kPer; }

  // The weight's taps as runs of the image: `lines` of `across` runs each, `length` long.
  struct Runs {
    int64_t lines[2], apart[2];  // along d and h
    int64_t across, step, length;
  };

  const Operand &out, &rows, &weight, &given;  // given: the bias
  int64_t groups, channels, depth;  // of a group: channels of the output and of the image
  Runs runs;
  Positions positions;
  A* sums;    // [kConvPositions + kRoom][kColumns]
  A* turned;  // [kColumns][kLine]
  A* bias;    // [kColumns]
  static constexpr int64_t kRoom = 16, kLine = kConvPositions + kLanes;
  static_assert(kTileRows <= kRoom && kLanes <= kRoom);

  Direct(const Call& call, char* scratch)
      : out(call.operand[0]),
        rows(call.operand[1]),
        weight(call.operand[2]),
        given(call.operand[3]),
        groups(call.ints[kConvGroups]),
        channels(out.sizes[1] / groups),
        depth(rows.sizes[4] / groups),
        positions(scratch),
        sums(reinterpret_cast<A*>(scratch + sizeof(PositionTables))),
        turned(sums + (kConvPositions + kRoom) * kColumns),
        bias(turned + kColumns * kLine) {
    const auto* axis = reinterpret_cast<const ConvTaps*>(call.ints);
    const int64_t* s = rows.strides;
    const bool joined = call.ints[kConvJoined];
    runs = {{axis[0].taps, axis[1].taps},
            {axis[0].step * s[1], axis[1].step * s[2]},
            joined ? 1 : axis[2].taps,
            axis[2].step * s[3],
            joined ? axis[2].taps * depth : depth};
  }

  // sum[r] += a unit of every position, of which `part` numbers are there, times a row of weights.
  template <int R, int V, int part>
  TRN_INLINE static void add_products(AV (&sum)[R][V], const S* const* at, int64_t p, const U* b) {
    // With vector registers to spare a compiler keeps addresses there; memory is nearer.
    if (R * V <= kTileRows) asm("" : "+r"(at));
    UV row[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) row[v] = *reinterpret_cast<const UV*>(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      U number = 0;
      __builtin_memcpy(&number, at[r] + p, part * sizeof(S));
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) sum[r][v] = Math::multiply(sum[r][v], row[v], number);
    }
  }

  // to[r][...] = what `start` has (rows `next` apart) plus the products of the runs of lines
  // [line, end), for R positions.
  template <int R, int V>
  static void multiply(const S* const* at, const U* b, const Runs& runs, int64_t line, int64_t end,
                       A* const* to, const A* start, int64_t next) {
    AV sum[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v)
        sum[r][v] = *reinterpret_cast<const AV*>(start + r * next + v * kLanes);
    for (; line < end; ++line) {
      int64_t from = line / runs.lines[1] * runs.apart[0] + line % runs.lines[1] * runs.apart[1];
      for (int64_t x = 0; x < runs.across; ++x, from += runs.step) {
        // A pair that a run of odd length begins has zero for its other number, whatever follows.
        const int64_t end = from + runs.length;
        int64_t p = from;
        for (; p + kPer <= end; p += kPer, b += kColumns) add_products<R, V, kPer>(sum, at, p, b);
        if (kPer > 1 && p < end) add_products<R, V, 1>(sum, at, p, b), b += kColumns;
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) *reinterpret_cast<AV*>(to[r] + v * kLanes) = sum[r][v];
  }

  // Lines [line, end) of taps for all positions, and what their tiles fetch into the caches ahead.
  struct Pass {
    const S* image;
    const U* b;
    int64_t line, end;
    const S* next;        // of what the last taps read, where it is read for the first time
    const char* results;  // where they are written, if a position's lie together
    A* out;               // the same where sums are the results, else they are kept
  };

  // Tile by tile; the last tile's rows are no more than they have to be, and those that are too
  // many repeat its last position.
  template <int V>
  void run(const Pass& p) {
    const int64_t count = positions.count, size = dtype_size(out.dtype);
    for (int64_t i = 0; i < count; i += kTileRows) {
      const S* at[kTileRows];
      A* to[kTileRows];
      for (int64_t r = 0; r < kTileRows; ++r) {
        const int64_t k = i + r < count ? i + r : count - 1;
        at[r] = p.image + positions.table.in[k];
        to[r] = p.out ? p.out + positions.table.out[k] : sums + (i + r) * kColumns;
      }
      // Runs that are too short for the processor to foresee: the next tile's numbers of the image
      // and this one's results.
      for (int64_t r = i + kTileRows; p.next && r < i + 2 * kTileRows && r < count; ++r)
        for (int64_t c = 0; c < depth; c += 64 / sizeof(S))
          __builtin_prefetch(p.next + positions.table.in[r] + c);
      for (int64_t r = i; p.results && r < i + kTileRows && r < count; ++r)
        for (int64_t j = 0; j < V * kLanes * size; j += 64)
          __builtin_prefetch(p.results + positions.table.out[r] * size + j, 1);
      const A* start = p.line ? sums + i * kColumns : bias;
      const int64_t next = p.line ? kColumns : 0, left = count - i;
      constexpr int kHalf = (kTileRows + 1) / 2, kQuarter = (kTileRows + 3) / 4;
      if (left > kHalf) multiply<kTileRows, V>(at, p.b, runs, p.line, p.end, to, start, next);
      else if (left > kQuarter) multiply<kHalf, V>(at, p.b, runs, p.line, p.end, to, start, next);
      else multiply<kQuarter, V>(at, p.b, runs, p.line, p.end, to, start, next);
    }
  }

  // Channels [first, first + kColumns) of a group for all positions; `fresh` if the image's numbers
  // are read for the first time.
  void strip(int64_t group, int64_t first, bool fresh) {
    const int64_t left = channels - first, width = left < kColumns ? left : kColumns;
    for (int64_t j = 0; j < kColumns; ++j) bias[j] = 0;
    if (!given.absent())
      TRN_ISA_NAMESPACE::convert_run(
          bias, DTypeOf<A>::value, 1,
          given.as<char>() + (group * channels + first) * dtype_size(given.dtype), given.dtype, 1,
          width);
    // As many lines of taps as have weights for half of the second level: they stay there while all
    // positions pass, and sums of the lines to come are kept in memory.
    const int64_t lines = runs.lines[0] * runs.lines[1];
    const int64_t units = runs.across * units_of(runs.length) * kColumns;  // of a line's weights
    const int64_t most = caches().l2 / 2 / sizeof(U) / units, step = most ? most : 1;
    const U* b = weight.as<U>() + (group * padded(channels) + first) / kColumns * lines * units;
    const int64_t at = (group * channels + first) * out.strides[1];
    Pass p{rows.as<S>() + group * depth, b, 0, 0, nullptr, nullptr, nullptr};
    const bool direct = out.dtype == DTypeOf<A>::value && out.strides[1] == 1 &&
                        (width == kColumns || width == kLanes);
    if (fresh)
      p.next = p.image + (runs.lines[0] - 1) * runs.apart[0] + (runs.lines[1] - 1) * runs.apart[1];
    if (out.strides[1] == 1) p.results = out.as<char>() + at * dtype_size(out.dtype);
    for (; p.line < lines; p.line += step) {
      p.end = lines - p.line < step ? lines : p.line + step;
      p.b = b + p.line * units;
      if (direct && p.end == lines) p.out = out.as<A>() + at;
      if (width > kLanes) run<2>(p);
      else run<1>(p);
      p.next = nullptr;
    }
    if (p.out) return;
    if (out.dtype == DTypeOf<A>::value) write<A>(at, width);
    else if (out.dtype == DType::bf16) write<bf16_t>(at, width);
    else write<f16_t>(at, width);
  }

  // Sums to the output: position by position where channels are neighbours, else run by run of
  // positions, transposed.
  template <class T>
  void write(int64_t at, int64_t width) {
    T* to = out.as<T>() + at;
    if (out.strides[1] == 1 && width > 1) {
      for (int64_t i = 0; i < positions.count; ++i) {
        T* p = to + positions.table.out[i];
        const A* from = sums + i * kColumns;
        if (width < kColumns)
          for (int64_t j = 0; j < width; ++j) p[j] = static_cast<T>(from[j]);
        else if constexpr (requires { Math::store(p, from); }) Math::store(p, from);
        else
          for (int j = 0; j < kColumns; ++j) p[j] = static_cast<T>(from[j]);
      }
      return;
    }
    for (int64_t i = 0; i < positions.count; i += kLanes)
      for (int64_t j = 0; j < width; j += kLanes) {
        AV v[kLanes];
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r)
          v[r] = *reinterpret_cast<const AV*>(sums + (i + r) * kColumns + j);
        transpose<AV, kLanes>(v);
#pragma GCC unroll 16
        for (int r = 0; r < kLanes; ++r)
          *reinterpret_cast<AV*>(turned + (j + r) * kLine + i) = v[r];
      }
    // Of a channel all at once: runs are short, and often every second of a line.
    T converted[__is_same(T, A) ? 1 : kLine];
    for (int64_t j = 0; j < width; ++j) {
      const T* line = converted;
      if constexpr (__is_same(T, A)) line = turned + j * kLine;
      else
        TRN_ISA_NAMESPACE::convert_run(converted, DTypeOf<T>::value, 1, turned + j * kLine,
                                       DTypeOf<A>::value, 1, positions.count);
      for (int64_t k = 0; k < positions.runs; ++k) {
        const int64_t i = positions.table.run[k], n = positions.table.run[k + 1] - i;
        T* p = to + j * out.strides[1] + positions.table.out[i];
        const int64_t step = out.strides[4];
        if (step == 1) __builtin_memcpy(p, line + i, n * sizeof(T));
        else
          for (int64_t x = 0; x < n; ++x) p[x * step] = line[i + x];
      }
    }
  }
};

// operands: out [n, channels, d, h, w] of any strides; rows [n, d, h, w, groups * share] with dense
// channels; the weight as conv_pack leaves it; bias [channels] or absent. ints: see
// convolution_positions.h. Items are (block of positions, group, strip of channels): of a large
// weight a strip meets all positions before the next one comes.
template <class Math>
void conv_direct(const Call& call, const Range& range) {
  const Operand &out = call.operand[0], &weight = call.operand[2];
  const auto* axis = reinterpret_cast<const ConvTaps*>(call.ints);
  const int64_t all = out.sizes[0] * out.sizes[2] * out.sizes[3] * out.sizes[4];
  const int64_t size = call.ints[kConvBlock], blocks = (all + size - 1) / size;
  Direct<Math> d(call, range.scratch);
  const int64_t strips = padded(d.channels) / kConvStrip, each = d.groups * strips;
  const bool small = weight.numel() * dtype_size(weight.dtype) <= caches().l2 / 2;
  int64_t found = -1;
  for (int64_t item = range.begin; item < range.end; ++item) {
    const int64_t block = small ? item / each : item % blocks;
    const int64_t strip = small ? item % each : item / blocks;
    const int64_t begin = block * size, first = strip % strips * kConvStrip;
    if (block != found)
      d.positions.find(out, d.rows, axis, begin, all - begin < size ? all : begin + size);
    for (int64_t c = first; c < first + kConvStrip && c < d.channels; c += Direct<Math>::kColumns)
      d.strip(strip / strips, c, block != found && c == first);
    found = block;
  }
}

}  // namespace
}  // namespace trn
