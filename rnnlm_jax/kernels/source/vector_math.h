// exp, sigmoid and tanh of vectors: to about 2 units in the last place, saturating, NaN for NaN.
//
// The argument is reduced as by Cody & Waite (Software Manual for the Elementary Functions, 1980, ch. 6): with n the
// whole number nearest to y / ln 2, and ln 2 in two parts so that r = y - n ln 2 is good to all digits,
//
//     e^y = 2^n e^r,    e^r - 1 = r + r^2 q(r),    |r| <= ln 2 / 2,
//
// q the polynomial with the least greatest relative error of e^r - 1. For tanh, e^y - 1 is computed without forming e^y
// (as in fdlibm, s_tanh.c), so that small arguments keep all digits:
//
//     tanh |x| = -m / (m + 2),    m = e^(-2|x|) - 1 = 2^n (e^r - 1) + (2^n - 1).
#pragma once
#include <cstdint>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "vectors.h"

namespace rnnlm {

template <typename T>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  using Bits = int32_t;
  static constexpr int mantissa = 23;
  static constexpr Bits one = 0x3f800000, sign = INT32_MIN;
  static constexpr float largest = 87.3f;  // neither 2^n nor its inverse leaves the normal numbers
  static constexpr float log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
  static constexpr float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number, in the low bits
  // error 1.3e-8; from the highest power down
  static constexpr float q[] = {1.388252027e-3f, 8.366520568e-3f, 4.166719988e-2f, 1.666654362e-1f, 4.999999815e-1f};
};

template <>
struct ExpConstants<double> {
  using Bits = int64_t;
  static constexpr int mantissa = 52;
  static constexpr Bits one = 0x3ff0000000000000, sign = INT64_MIN;
  static constexpr double largest = 708.0;
  static constexpr double log2e = 1.4426950408889634074, ln2_high = 6.93145751953125e-1,
                          ln2_low = 1.42860682030941723212e-6;
  static constexpr double rounder = 6755399441055744.0;  // 1.5 * 2^52
  // error 1.8e-17
  static constexpr double q[] = {2.505378058092752357e-8, 2.76260378074933303e-7,  2.755740752639740273e-6,
                                 2.480150527401509534e-5, 1.984126971902323881e-4, 1.388888893156468091e-3,
                                 8.333333333389545422e-3, 4.166666666657675529e-2, 1.666666666666665893e-1,
                                 5.000000000000000518e-1};
};

template <typename T>
struct BitsOf {
  typedef typename ExpConstants<T>::Bits type __attribute__((vector_size(kVectorBytes)));
};
template <typename T>
using Bits = typename BitsOf<T>::type;

// e^y as (1 + fraction) * scale, the scale a power of two; y within +-largest.
template <typename T>
struct Exponential {
  explicit Exponential(Vector<T> y) {
    using C = ExpConstants<T>;
    const Vector<T> shifted = y * C::log2e + C::rounder, n = shifted - C::rounder;
    const Vector<T> r = (y - n * C::ln2_high) - n * C::ln2_low;
    const Vector<T> square = r * r;
    // odd and even powers in parallel: two short dependency chains instead of a long one
    constexpr int last = sizeof(C::q) / sizeof(T) - 1;
    Vector<T> q = C::q[last & 1] + (last & 1 ? r * C::q[0] : Vector<T>{});
#pragma GCC unroll 8
    for (int k = 1 + (last & 1); k < last; k += 2) q = q * square + (r * C::q[k] + C::q[k + 1]);
    fraction = square * q + r;
    scale = (Vector<T>)(((Bits<T>)shifted << C::mantissa) + C::one);
  }
  Vector<T> fraction, scale;
};

// 1 / x for x neither tiny nor huge: a division takes as long as a dozen multiplications.
template <typename T>
inline Vector<T> inverse(Vector<T> x) {
  return 1 / x;
}
#if defined(__AVX512F__)
template <>
inline Vector<float> inverse<float>(Vector<float> x) {
  const Vector<float> guess = (Vector<float>)_mm512_rcp14_ps((__m512)x);  // to 14 bits, doubled by a step of Newton's
  return guess + guess * (1 - x * guess);
}
#endif

// max(low, x); NaN stays NaN, since no comparison with it holds.
template <typename T>
inline Vector<T> at_least(T low, Vector<T> x) {
  return x < low ? low - Vector<T>{} : x;
}

// For x up to `largest`; smaller x than -largest count as -largest.
template <typename T>
inline Vector<T> exp(Vector<T> x) {
  const Exponential<T> e(at_least(-ExpConstants<T>::largest, x));
  return e.scale * e.fraction + e.scale;
}

template <typename T>
inline Vector<T> sigmoid(Vector<T> x) {
  return inverse<T>(1 + exp<T>(-at_least(-ExpConstants<T>::largest, x)));
}

// tanh x, and its derivative sech^2 x = e^(-2|x|) (2 / (m + 2))^2, which 1 - tanh^2 x would cancel.
template <typename T>
struct TanhAndSlope {
  explicit TanhAndSlope(Vector<T> x) {
    const Bits<T> sign = (Bits<T>)x & ExpConstants<T>::sign;
    const Vector<T> y = -2 * (Vector<T>)((Bits<T>)x ^ sign);
    const Exponential<T> e(at_least(-ExpConstants<T>::largest, y));
    const Vector<T> m = e.scale * e.fraction + (e.scale - 1), half = inverse<T>(m + 2);
    value = (Vector<T>)((Bits<T>)(-m * half) ^ sign);
    slope = y < -ExpConstants<T>::largest ? Vector<T>{} : (e.scale * e.fraction + e.scale) * (4 * half * half);
  }
  Vector<T> value, slope;
};

template <typename T>
inline Vector<T> tanh(Vector<T> x) {
  return TanhAndSlope<T>(x).value;
}

}  // namespace rnnlm
