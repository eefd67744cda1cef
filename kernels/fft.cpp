// Fourier transforms of lines whose length has small prime factors and fits a thread's scratch.
//
// Stockham's algorithm: every pass splits off one factor and leaves the elements where the next
// one wants them, so there is no reordering. Several lines are transformed together, their elements
// side by side, and real and imaginary parts lie apart: the innermost loop is over lanes (and what
// earlier passes have made neighbours) and vectorises. Longer lines are two transforms with a
// multiplication between, other lengths a convolution: csrc/ops/fft.cpp.
#include "fft_lanes.h"

namespace trn {
namespace {

constexpr int kMostFactor = 31;

// table[k * apart] = exp(sign 2 pi i step k / period): every 16th from the library, the others by
// one multiplication in double.
template <class R>
void fill_roots(Planes<R> table, int64_t n, int64_t step, int64_t period, int64_t sign,
                int64_t apart = 1) {
  constexpr int64_t kFine = 16;
  const auto root = [&](int64_t k, double* re, double* im) {
    const double angle = 6.28318530717958647693 * static_cast<double>(step * k % period) /
                         static_cast<double>(period);
    *re = __builtin_cos(angle);
    *im = __builtin_sin(angle) * static_cast<double>(sign);
  };
  double fine_re[kFine], fine_im[kFine];
  for (int64_t k = 0; k < kFine; ++k) root(k, fine_re + k, fine_im + k);
  for (int64_t k = 0; k < n; k += kFine) {
    double re, im;
    root(k, &re, &im);
    for (int64_t j = 0; j < kFine && k + j < n; ++j) {
      table.re[(k + j) * apart] = static_cast<R>(re * fine_re[j] - im * fine_im[j]);
      table.im[(k + j) * apart] = static_cast<R>(re * fine_im[j] + im * fine_re[j]);
    }
  }
}

// One pass for factor 4: m butterflies of `s` neighbours each. roots: of the whole length, `hop`
// of them to a root of the current length.
template <class R>
__attribute__((noinline)) void pass4(Planes<R> x, Planes<R> y, int64_t m, int64_t s,
                                     Planes<R> roots, int64_t hop, R sign) {
  for (int64_t j = 0; j < m; ++j) {
    const R w1r = roots.re[j * hop], w1i = roots.im[j * hop];
    const R w2r = roots.re[2 * j * hop], w2i = roots.im[2 * j * hop];
    const R w3r = roots.re[3 * j * hop], w3i = roots.im[3 * j * hop];
    const R *ar = x.re + s * j, *ai = x.im + s * j;
    R *br = y.re + 4 * s * j, *bi = y.im + 4 * s * j;
    const int64_t ms = m * s;
    _Pragma("GCC ivdep") for (int64_t q = 0; q < s; ++q) {
      const R sum_r = ar[q] + ar[q + 2 * ms], sum_i = ai[q] + ai[q + 2 * ms];
      const R dif_r = ar[q] - ar[q + 2 * ms], dif_i = ai[q] - ai[q + 2 * ms];
      const R sum2_r = ar[q + ms] + ar[q + 3 * ms], sum2_i = ai[q + ms] + ai[q + 3 * ms];
      // sign * i * (a1 - a3)
      const R turn_r = -sign * (ai[q + ms] - ai[q + 3 * ms]);
      const R turn_i = sign * (ar[q + ms] - ar[q + 3 * ms]);
      const R c1r = dif_r + turn_r, c1i = dif_i + turn_i;
      const R c2r = sum_r - sum2_r, c2i = sum_i - sum2_i;
      const R c3r = dif_r - turn_r, c3i = dif_i - turn_i;
      br[q] = sum_r + sum2_r;
      bi[q] = sum_i + sum2_i;
      br[q + s] = c1r * w1r - c1i * w1i;
      bi[q + s] = c1r * w1i + c1i * w1r;
      br[q + 2 * s] = c2r * w2r - c2i * w2i;
      bi[q + 2 * s] = c2r * w2i + c2i * w2r;
      br[q + 3 * s] = c3r * w3r - c3i * w3i;
      bi[q + 3 * s] = c3r * w3i + c3i * w3r;
    }
  }
}

// The same for any factor, a constant P or (P == 0) `factor`; `n` is the whole length.
template <class R, int P>
__attribute__((noinline)) void pass(Planes<R> x, Planes<R> y, int64_t m, int64_t s, Planes<R> roots,
                                    int64_t hop, int64_t n, int factor) {
  const int p = P ? P : factor;
  R unit_re[kMostFactor], unit_im[kMostFactor];
  for (int k = 0; k < p; ++k) {
    unit_re[k] = roots.re[k * (n / p)];
    unit_im[k] = roots.im[k * (n / p)];
  }
  for (int64_t j = 0; j < m; ++j) {
    const R *ar = x.re + s * j, *ai = x.im + s * j;
    for (int r = 0; r < p; ++r) {
      const R wr = roots.re[r * j * hop], wi = roots.im[r * j * hop];
      R *br = y.re + s * (p * j + r), *bi = y.im + s * (p * j + r);
      _Pragma("GCC ivdep") for (int64_t q = 0; q < s; ++q) {
        R re = ar[q], im = ai[q];
        for (int k = 1; k < p; ++k) {
          const int t = k * r % p;
          const R xr = ar[q + k * m * s], xi = ai[q + k * m * s];
          re += xr * unit_re[t] - xi * unit_im[t];
          im += xr * unit_im[t] + xi * unit_re[t];
        }
        br[q] = re * wr - im * wi;
        bi[q] = re * wi + im * wr;
      }
    }
  }
}

// How a line is read and written: complex to complex, real to half or whole spectrum, half
// spectrum to real. A real line of even length is a complex one of half the length.
enum Kind : int64_t { kComplex, kRealHalf, kRealWhole, kToReal };

template <class R>
struct Transform {
  using C = complex_t<R>;
  const Call& call;
  const Kind kind;
  const int64_t n, sign;  // length and direction of the complex transform
  const int64_t length;   // of the line in time
  const bool packed;      // pairs of reals make the complex elements
  const int64_t root_hop;
  Planes<R> a, b, roots, turn;
  C* stage;

  explicit Transform(const Call& c, char* scratch, int64_t lanes)
      : call(c),
        kind(static_cast<Kind>(c.ints[0])),
        n(c.ints[1]),
        sign(c.ints[2]),
        length(kind == kToReal ? line_length(c.operand[0]) : line_length(c.operand[1])),
        packed(length == 2 * n),
        root_hop(packed ? 2 : 1) {
    R* at = reinterpret_cast<R*>(scratch);
    const auto planes = [&at](int64_t size) {
      const Planes<R> p{at, at + size};
      at += 2 * size;
      return p;
    };
    a = planes(n * lanes);
    b = planes(n * lanes);
    roots = planes(length);
    fill_roots(roots, length, 1, length, sign);
    turn = call.ints[3] ? planes(n * lanes) : roots;
    stage = reinterpret_cast<C*>(planes(Lanes<R>::kChunk * lanes).re);
  }

  // Bytes of scratch for `lanes` lines.
  static int64_t bytes(int64_t n, int64_t length, bool turned, int64_t lanes) {
    const int64_t lanewise = 2 * n + (turned ? n : 0) + Lanes<R>::kChunk;
    return 2 * (lanewise * lanes + length) * static_cast<int64_t>(sizeof(R));
  }

  // f(k, n) for all chunks of [0, total).
  template <class F>
  TRN_INLINE static void by_chunks(int64_t total, F f) {
    constexpr int64_t kChunk = Lanes<R>::kChunk;
    for (int64_t k = 0; k < total; k += kChunk) f(k, total - k < kChunk ? total - k : kChunk);
  }

  // Loads `count` lines from `line` on.
  __attribute__((noinline)) void load(int64_t line, int64_t count, int64_t lanes) {
    if (!packed && kind != kComplex) {
      for (int64_t k = 0; k < lanes; ++k) load_odd(line + (k < count ? k : count - 1), k, lanes);
      return;
    }
    const Lanes<R> in(call.operand[1], kind == kComplex || kind == kToReal, line, count, lanes);
    const Planes<R> to = kind == kToReal ? b : a;
    by_chunks(n, [&](int64_t k, int64_t m) {
      in.read(k, m, {to.re + k * lanes, to.im + k * lanes}, stage);
    });
    if (kind == kToReal) join_halves(in, lanes);
  }

  // From half a spectrum in b, of which element n is still to be read, to the pairs' in a. What
  // stands alone is taken as real.
  void join_halves(const Lanes<R>& in, int64_t lanes) {
    R last_re[Lanes<R>::kMost], last_im[Lanes<R>::kMost];
    in.read(n, 1, {last_re, last_im}, stage);
    for (int64_t q = 0; q < lanes; ++q) last_im[q] = b.im[q] = R(0);
    for (int64_t k = 0; k < n; ++k) {
      const R *x = b.re + k * lanes, *y = b.im + k * lanes;
      const R* u = k ? b.re + (n - k) * lanes : last_re;
      const R* v = k ? b.im + (n - k) * lanes : last_im;
      const R wr = roots.re[k], wi = roots.im[k];
      R *re = a.re + k * lanes, *im = a.im + k * lanes;
#pragma GCC ivdep
      for (int64_t q = 0; q < lanes; ++q) {
        const R odd_re = x[q] - u[q], odd_im = y[q] + v[q];
        re[q] = (x[q] + u[q]) - (odd_re * wi + odd_im * wr);
        im[q] = (y[q] - v[q]) + (odd_re * wr - odd_im * wi);
      }
    }
  }

  // A line of reals of odd length, or the half spectrum of one.
  void load_odd(int64_t line, int64_t lane, int64_t lanes) {
    R *re = a.re + lane, *im = a.im + lane;
    if (kind != kToReal) {
      const Line<R> in = line_of<R>(call.operand[1], line);
      for (int64_t k = 0; k < n; ++k) {
        re[k * lanes] = in[k];
        im[k * lanes] = R(0);
      }
      return;
    }
    // The other half is the conjugate; what stands alone is taken as real.
    const Line<C> in = line_of<C>(call.operand[1], line);
    for (int64_t k = 0; k < n; ++k) {
      const C z = in[k <= length / 2 ? k : length - k];
      re[k * lanes] = z.re;
      im[k * lanes] = k == 0 ? R(0) : k <= length / 2 ? z.im : -z.im;
    }
  }

  // Stores `count` lines from `line` on.
  __attribute__((noinline)) void store(int64_t line, int64_t count, int64_t lanes) {
    const R scale = static_cast<R>(call.reals[0]);
    if (kind == kToReal && !packed) {
      for (int64_t lane = 0; lane < count; ++lane) {
        const Line<R> out = line_of<R>(call.operand[0], line + lane);
        for (int64_t k = 0; k < n; ++k) out[k] = a.re[k * lanes + lane] * scale;
      }
      return;
    }
    const Lanes<R> out(call.operand[0], kind != kToReal, line, count, lanes);
    const bool turns = call.ints[3] != 0, splits = packed && kind != kToReal;
    for (int64_t q = 0; turns && q < lanes; ++q)
      fill_roots(Planes<R>{turn.re + q, turn.im + q}, n, (line + q) % call.ints[4], call.ints[3],
                 sign, lanes);
    by_chunks(kind == kToReal ? n : line_length(call.operand[0]), [&](int64_t first, int64_t m) {
      for (int64_t k = 0; k < m; ++k) {
        C* to = stage + k * lanes;
        if (splits) split_halves(to, first + k, scale, lanes);
        else if (turns) turned(to, first + k, scale, lanes);
        else scaled(to, first + k, scale, lanes);
      }
      out.write(first, m, stage);
    });
  }

  TRN_INLINE void scaled(C* to, int64_t k, R scale, int64_t lanes) {
    const R *re = a.re + k * lanes, *im = a.im + k * lanes;
#pragma GCC ivdep
    for (int64_t q = 0; q < lanes; ++q) to[q] = C(re[q] * scale, im[q] * scale);
  }
  TRN_INLINE void turned(C* to, int64_t k, R scale, int64_t lanes) {
    const R *x = a.re + k * lanes, *y = a.im + k * lanes;
    const R *u = turn.re + k * lanes, *v = turn.im + k * lanes;
#pragma GCC ivdep
    for (int64_t q = 0; q < lanes; ++q)
      to[q] = C((x[q] * u[q] - y[q] * v[q]) * scale, (x[q] * v[q] + y[q] * u[q]) * scale);
  }
  // Element k of the spectrum of reals from those of their pairs.
  TRN_INLINE void split_halves(C* to, int64_t k, R scale, int64_t lanes) {
    const int64_t at = k % n * lanes, mirrored = (2 * n - k) % n * lanes;
    const R *x = a.re + at, *y = a.im + at, *u = a.re + mirrored, *v = a.im + mirrored;
    const R wr = roots.re[k], wi = roots.im[k], half = scale / 2;
#pragma GCC ivdep
    for (int64_t q = 0; q < lanes; ++q) {
      const R odd_re = y[q] + v[q], odd_im = u[q] - x[q];
      to[q] = C((x[q] + u[q] + odd_re * wr - odd_im * wi) * half,
                (y[q] - v[q] + odd_re * wi + odd_im * wr) * half);
    }
  }

  // Transforms the loaded lines; the result is in a.
  void run(int64_t lanes) {
    int64_t left = n, s = lanes, hop = root_hop;
    for (int f = 5; f < call.nints; ++f) {
      const int p = static_cast<int>(call.ints[f]);
      left /= p;
      switch (p) {
        case 2: pass<R, 2>(a, b, left, s, roots, hop, length, p); break;
        case 3: pass<R, 3>(a, b, left, s, roots, hop, length, p); break;
        case 4: pass4(a, b, left, s, roots, hop, static_cast<R>(sign)); break;
        case 5: pass<R, 5>(a, b, left, s, roots, hop, length, p); break;
        default: pass<R, 0>(a, b, left, s, roots, hop, length, p);
      }
      hop *= p;
      s *= p;
      const Planes<R> t = a;
      a = b;
      b = t;
    }
  }
};

// operands: out [.., m], in [.., k], of any strides. ints: kind, length of the complex transform,
// direction (-1 forward), a period N or 0, the lines to a turn; then the length's factors (4 and
// primes up to 31). With a period, element k of line l is turned by exp(direction 2 pi i
// (l mod ints[4]) k / N). reals[0]: what everything is multiplied by. Items are lines.
template <class R>
void fft(const Call& call, const Range& range) {
  const int64_t n = call.ints[1];
  const int64_t length =
      call.ints[0] == kToReal ? line_length(call.operand[0]) : line_length(call.operand[1]);
  int64_t lanes = Lanes<R>::kMost;
  while (lanes > 1 && (Transform<R>::bytes(n, length, call.ints[3], lanes) > kScratchBytes / 4 ||
                       lanes > range.end - range.begin))
    lanes /= 2;
  Transform<R> t(call, range.scratch, lanes);
  for (int64_t l = range.begin; l < range.end; l += lanes) {
    const int64_t count = l + lanes <= range.end ? lanes : range.end - l;
    t.load(l, count, lanes);
    t.run(lanes);
    t.store(l, count, lanes);
  }
}

// exp(direction pi i k^2 / n). operands: out (complex). ints: direction. Items are elements.
template <class R>
void fft_chirp(const Call& call, const Range& range) {
  const int64_t n = call.operand[0].sizes[0];
  for (int64_t k = range.begin; k < range.end; ++k) {
    const int64_t square = static_cast<int64_t>(static_cast<unsigned __int128>(k) * k % (2 * n));
    const double turns = static_cast<double>(square) / static_cast<double>(n);
    const double angle = 3.14159265358979323846 * turns;
    call.operand[0].as<complex_t<R>>()[k] =
        complex_t<R>(static_cast<R>(__builtin_cos(angle)),
                     static_cast<R>(__builtin_sin(angle)) * static_cast<R>(call.ints[0]));
  }
}

TRN_REGISTER_REALS(fft);
TRN_REGISTER_REALS(fft_chirp);

}  // namespace
}  // namespace trn
