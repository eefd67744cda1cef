// log |Gamma|, its two derivatives and the scaled Bessel functions of floats: in double, with
// choices instead of branches, so that loops over them are made of vectors. Most are good to 1e-14.
#pragma once

#include "bessel.h"
#include "gamma.h"

namespace trn {
namespace {

// x - n for the nearest whole number n; 0 where numbers are so large that all are whole.
TRN_INLINE double from_whole(double x) {
  constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  const double rest = x - ((x + kMagic) - kMagic);
  return __builtin_fabs(x) < 1e15 ? rest : x - x;
}
// sin(pi r) and cos(pi r), |r| <= 1/2.
TRN_INLINE double sine_of_pi(double r) {
  return r * horner(r * r, 4.4749208490771011e-4, -7.3640054721157222e-3, 8.2144794670648544e-2,
                    -0.59926443393572859, 2.5501640359067448, -5.1677127799879594,
                    3.141592653589635);
}
TRN_INLINE double cosine_of_pi(double r) {
  const double v = r * r;
  return (0.25 - v) * horner(v, 9.9899341146311504e-5, -1.902426525576254e-3, 2.5330757644693776e-2,
                             -0.22899786896894958, 1.2780132961761694, -3.7392088021665968,
                             3.9999999999999689);
}
// y (y + 1) ... (y + 5), by which Gamma(y + 6) exceeds Gamma(y), and its derivatives.
TRN_INLINE double rising(double y) { return horner(y, 1., 15., 85., 225., 274., 120., 0.); }
TRN_INLINE double rising_slope(double y) { return horner(y, 6., 75., 340., 675., 548., 120.); }
TRN_INLINE double rising_bend(double y) { return horner(y, 30., 300., 1020., 1350., 548.); }

// Below 1/2 by reflection, then from Stirling's series six steps up; (1 - x) (2 - x) times a
// polynomial around the two zeros.
inline float log_gamma_of(float value) {
  const double x = value, up = 1 - x;
  const bool low = x < 0.5;
  const double y = low ? up : x, z = y + 6, inverse = 1 / z, step = rising(y);
  const double series =
      inverse * horner(inverse * inverse, 4.2983936854291416e-3, -1.8449994513206947e-3,
                       8.4044478328156892e-4, -5.9522574177083292e-4, 7.9365073733672891e-4,
                       -2.7777777776807635e-3, 8.3333333333333301e-2);
  const double above = (z - 0.5) * log_in_double(z) - z + 0.91893853320467274178 + series;
  const double r = from_whole(x), sine = __builtin_fabs(sine_of_pi(r));
  const double quotient = step * 3.14159265358979323846 / sine;
  const double log = log_in_double(low ? quotient : step);
  const double far = low ? log - above : above - log, t = x - 1.5;
  const double near = (x - 1) * (x - 2) *
                      horner(t, 1.2026342046532292e-4, -1.8975512108455027e-4,
                             1.2733036376840179e-5, -2.2905737573070008e-5, 3.2431422085884979e-4,
                             -5.2132026034681141e-4, 6.9491058912095598e-4, -1.1383215991783145e-3,
                             1.9258107713089922e-3, -3.2166202634403116e-3, 5.4461935429463712e-3,
                             -9.4252073802865016e-3, 1.6797109374933453e-2, -3.1308504372580481e-2,
                             6.2911400948056861e-2, -0.14595989571564635, 0.48312895054098087);
  const double result = __builtin_fabs(t) < 0.75 ? near : far;
  const bool pole = low & (r == 0);
  return static_cast<float>(pole | (__builtin_fabs(x) > 1e39) ? __builtin_inf() : result);
}

// Its derivative: reflection below 0, six steps of the recurrence, the asymptotic series.
inline float digamma_of(float value) {
  const double x = value, up = 1 - x;
  const bool low = x < 0;
  const double y = low ? up : x, z = y + 6, inverse = 1 / z, square = inverse * inverse;
  const double series =
      horner(square, -1.5648098526241869e-2, 7.4190105596113687e-3, -4.1644934283079152e-3,
             3.9682400962165205e-3, -8.3333333006169429e-3, 8.3333333333320728e-2);
  const double steps = rising_slope(y) / rising(y);
  const double above = log_in_double(z) - 0.5 * inverse - series * square - steps;
  const double r = from_whole(x), sine = r == 0 ? __builtin_nan("") : sine_of_pi(r);
  const double turned = above - 3.14159265358979323846 * cosine_of_pi(r) / sine;
  const double result = low ? turned : above;
  const double most = __builtin_inf(), pole = __builtin_copysign(most, -x);
  return static_cast<float>(x == most ? most : x == 0 ? pole : result);
}

// Its second derivative, in the same way; the steps' squares are (P' / P)^2 - P'' / P.
inline float trigamma_of(float value) {
  const double x = value, up = 1 - x;
  const bool low = x < 0.5;
  const double y = low ? up : x, z = y + 6, inverse = 1 / z, square = inverse * inverse;
  const double series = horner(square, 0.69589124934240632, -0.23739188743874176,
                               7.5478217618896365e-2, -3.333071000869179e-2, 2.3809511899091963e-2,
                               -3.3333333312856116e-2, 0.16666666666666088);
  const double scale = 1 / rising(y), slope = rising_slope(y) * scale;
  const double steps = slope * slope - rising_bend(y) * scale;
  const double above = inverse * (1 + 0.5 * inverse + square * series) + steps;
  const double sine = sine_of_pi(from_whole(x));
  const double turned = 9.8696044010893586188 / (sine * sine) - above;
  const double result = low ? turned : above;
  return static_cast<float>(x == __builtin_inf() ? 0 : result);
}

// exp(-|x|) I_order(x) for order 0 and 1: a polynomial up to 8, one in 1 / |x| beyond.
template <int order>
TRN_INLINE double scaled_bessel(double x) {
  const double y = __builtin_fabs(x), t = y * 0.25 - 1, u = 8 / y, root = __builtin_sqrt(u);
  if constexpr (order == 0) {
    const double near = horner(
        t, 3.3594613882272539e-4, -8.5085269766622842e-4, 4.6962487311860636e-4,
        -7.5969672841241819e-4, 4.0626536466720365e-3, -8.0098496066744098e-3,
        1.1661634063608236e-2, -1.8865125988389776e-2, 3.0297408532378764e-2,
        -4.3313793679093569e-2, 5.6749110843954453e-2, -6.9464514931092208e-2,
        7.9278744186704275e-2, -8.4973049590105917e-2, 8.7343215325573723e-2,
        -8.9042889186986413e-2, 9.4515631894022331e-2, -0.11300433610864266, 0.2070019212239867);
    const double far = horner(u, 1.5221846571261926e-6, -2.8589431113982826e-6,
                              4.0228381725763016e-6, 2.3509342104824103e-6, 2.0571655203228512e-5,
                              1.5490939922238012e-4, 2.2038679481518838e-3, 0.14104739586826906);
    return y <= 8 ? near : far * root;
  } else {
    const double near = horner(
        t, 4.598305152779168e-5, -1.2355277798277542e-4, 1.0047992147952936e-4,
        -2.0317835512352177e-4, 7.9946638369247805e-4, -1.6976303713239355e-3,
        2.9690590177482942e-3, -5.4283146553948704e-3, 9.598630764419986e-3, -1.5613829637624494e-2,
        2.368259371734132e-2, -3.3661423890803573e-2, 4.4675003635408585e-2, -5.5281290398833241e-2,
        6.3767379119294976e-2, -6.8482534789200883e-2, 6.8057600320139189e-2,
        -6.1124339222213123e-2, 4.4687709875608835e-2);
    const double far =
        horner(u, -1.7131705043699153e-6, 3.2087573879137412e-6, -4.6464510031105528e-6,
               -3.2453902567196283e-6, -2.8698617077099974e-5, -2.5820835088290976e-4,
               -6.6115994202627371e-3, 0.14104739590835724);
    return __builtin_copysign(1, x) * (y <= 8 ? near * y : far * root);
  }
}
template <int order>
TRN_INLINE float bessel_i(float x) {
  const double value =
      exp_in_double(__builtin_fabs(static_cast<double>(x))) * scaled_bessel<order>(x);
  return static_cast<float>(m_fabs(x) == infinity<float>() ? (order ? x : m_fabs(x)) : value);
}
template <int order>
TRN_INLINE double bessel_i(double x) {
  return bessel_i(order, x);
}
template <int order>
TRN_INLINE float scaled_bessel_i(float x) {
  return static_cast<float>(scaled_bessel<order>(x));
}
template <int order>
TRN_INLINE double scaled_bessel_i(double x) {
  return scaled_bessel_i(order, x);
}
inline double trigamma_of(double x) { return polygamma_of(1, x); }

}  // namespace
}  // namespace trn
