/* SPDX-License-Identifier: 0BSD */
/* The kernels. Feature maps are [height][width][channels]. What a kernel needs to know stands in a constant description;
 * none keeps state. Signed shifts to the right are arithmetic, as they are in every compiler for these cores. */
#ifndef EENNC_KERNELS_H
#define EENNC_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "eennc_names.h"

/* int8: rows times weights. y[o] = low..high(zero_point + (bias[o] + sum of weights[o][k] * x[k]) * multiplier[o] *
 * 2^(shift[o] - 31)). The zero point of x stands in the bias. */
typedef struct {
    const int8_t *weights; /* [outputs][depth] */
    const int32_t *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    int32_t depth;
    int16_t outputs;
    int8_t zero_point, low, high;
} eennc_rows_s8_t;

/* One row, and two rows at once. Scratch: both rows in 16 bits, where the DSP extension computes with them. */
#if defined(__ARM_FEATURE_DSP) && !defined(__ARM_FEATURE_MVE) && !defined(EENNC_PLAIN)
#define EENNC_ROWS_SCRATCH(depth) ((depth) & ~3) /* in words */
#else
#define EENNC_ROWS_SCRATCH(depth) 0
#endif
void eennc_row_s8(const eennc_rows_s8_t *p, const int8_t *x, int8_t *y);
void eennc_two_rows_s8(const eennc_rows_s8_t *p, const int8_t *x0, const int8_t *x1, int8_t *y0, int8_t *y1,
                       uint32_t *scratch);

/* Windows over a feature map: what convolutions and pools share. */
typedef struct {
    int16_t in_height, in_width, in_channels;
    int16_t out_height, out_width, out_channels;
    int16_t kernel_height, kernel_width;
    int16_t stride_height, stride_width;
    int16_t top, left; /* padding */
    int16_t dilation_height, dilation_width;
} eennc_windows_t;

/* Weights [out_channels][kernel_height][kernel_width][in_channels / groups]. Scratch: two windows,
 * and what two rows take. For 1x1 kernels of stride 1 without padding, y may be x where there are not more channels out
 * than in. */
typedef struct {
    eennc_windows_t windows;
    eennc_rows_s8_t rows; /* of one group */
    int16_t groups;
    int8_t fill; /* what stands for zero in x */
} eennc_conv_s8_t;
void eennc_conv_s8(const eennc_conv_s8_t *p, const int8_t *x, int8_t *y, uint32_t *scratch);

/* Each channel by itself. rows.weights: [kernel_height][kernel_width][channels]; rows.outputs: channels. Scratch: one
 * channel's padded plane. y may be x where y's plane is not larger. */
typedef struct {
    eennc_windows_t windows;
    eennc_rows_s8_t rows;
    int8_t fill;
} eennc_depthwise_s8_t;
void eennc_depthwise_s8(const eennc_depthwise_s8_t *p, const int8_t *x, int8_t *y, int8_t *scratch);

void eennc_dense_s8(const eennc_rows_s8_t *p, int32_t rows, const int8_t *x, int8_t *y);

/* y may be x where windows do not overlap. */
void eennc_max_pool_s8(const eennc_windows_t *p, const int8_t *x, int8_t *y);
void eennc_average_pool_s8(const eennc_windows_t *p, const int8_t *x, int8_t *y);

/* Mean over `places` of each channel; x: [places][channels]. y may be x. */
typedef struct {
    int32_t places, channels;
    int32_t multiplier, shift;
    int8_t in_zero_point, zero_point;
} eennc_mean_s8_t;
void eennc_mean_s8(const eennc_mean_s8_t *p, const int8_t *x, int8_t *y);

/* Two operands that broadcast: element i of the four axes stands at the sum of i * stride. */
typedef struct {
    int32_t size[4];
    int32_t a_stride[4], b_stride[4];
} eennc_broadcast_t;

/* y may be a or b where that does not broadcast. */
typedef struct {
    eennc_broadcast_t shape;
    int32_t a_multiplier, b_multiplier, multiplier;
    int8_t a_shift, b_shift, shift;
    int8_t a_zero_point, b_zero_point, zero_point, low, high;
    int8_t sign; /* of b: 1 or -1 */
} eennc_add_s8_t;
void eennc_add_s8(const eennc_add_s8_t *p, const int8_t *a, const int8_t *b, int8_t *y);

typedef struct {
    eennc_broadcast_t shape;
    int32_t multiplier;
    int8_t shift, a_zero_point, b_zero_point, zero_point, low, high;
} eennc_mul_s8_t;
void eennc_mul_s8(const eennc_mul_s8_t *p, const int8_t *a, const int8_t *b, int8_t *y);

/* Rows of logits to probabilities; y may be x. lowest: differences below it count nothing. */
typedef struct {
    int32_t rows, classes;
    int32_t multiplier, shift, lowest;
} eennc_softmax_s8_t;
void eennc_softmax_s8(const eennc_softmax_s8_t *p, const int8_t *x, int8_t *y);

/* Any function of one byte. tables: [count][256], by x as an unsigned byte; element i takes table i / run % count.
 * y may be x. */
typedef struct {
    const int8_t *tables;
    int32_t size, run;
    int16_t count;
} eennc_table_s8_t;
void eennc_table_s8(const eennc_table_s8_t *p, const void *x, int8_t *y);

/* Between floats and the integers that stand for them: real = scale * (integer - zero_point). */
typedef struct {
    int32_t size;
    float scale;
    int8_t zero_point;
} eennc_quantise_t;
void eennc_quantise_f32_s8(const eennc_quantise_t *p, const float *x, int8_t *y);
void eennc_dequantise_s8_f32(const eennc_quantise_t *p, const int8_t *x, float *y);

/* float: rows times weights, low..high(bias[o] + sum of weights[o][k] * x[k]). bias may be NULL. */
typedef struct {
    const float *weights; /* [outputs][depth] */
    const float *bias;
    int32_t depth;
    int16_t outputs;
    float low, high;
} eennc_rows_f32_t;
void eennc_row_f32(const eennc_rows_f32_t *p, const float *x, float *y);
void eennc_two_rows_f32(const eennc_rows_f32_t *p, const float *x0, const float *x1, float *y0, float *y1);

/* As eennc_conv_s8. Scratch: two windows. */
typedef struct {
    eennc_windows_t windows;
    eennc_rows_f32_t rows; /* of one group */
    int16_t groups;
} eennc_conv_f32_t;
void eennc_conv_f32(const eennc_conv_f32_t *p, const float *x, float *y, float *scratch);

/* As eennc_depthwise_s8. Scratch: one channel's padded plane. */
typedef struct {
    eennc_windows_t windows;
    eennc_rows_f32_t rows;
} eennc_depthwise_f32_t;
void eennc_depthwise_f32(const eennc_depthwise_f32_t *p, const float *x, float *y, float *scratch);

void eennc_dense_f32(const eennc_rows_f32_t *p, int32_t rows, const float *x, float *y);

/* y may be x where windows do not overlap. */
void eennc_max_pool_f32(const eennc_windows_t *p, const float *x, float *y);

/* counted_bottom, counted_right: padding behind the map that counts as zeros, where `count_padding` says so. */
typedef struct {
    eennc_windows_t windows;
    int16_t counted_bottom, counted_right;
    int8_t count_padding;
} eennc_average_pool_f32_t;
void eennc_average_pool_f32(const eennc_average_pool_f32_t *p, const float *x, float *y);

/* Mean over the middle of x: [outer][reduced][inner]. */
typedef struct {
    int32_t outer, reduced, inner;
} eennc_mean_f32_t;
void eennc_mean_f32(const eennc_mean_f32_t *p, const float *x, float *y);

enum { EENNC_ADD, EENNC_SUBTRACT, EENNC_MULTIPLY, EENNC_DIVIDE };

/* y may be a or b where that does not broadcast. */
typedef struct {
    eennc_broadcast_t shape;
    int8_t operation;
} eennc_binary_f32_t;
void eennc_binary_f32(const eennc_binary_f32_t *p, const float *a, const float *b, float *y);

/* y may be x in all of these. */
typedef struct {
    int32_t size;
    float low, high;
} eennc_clamp_f32_t;
void eennc_clamp_f32(const eennc_clamp_f32_t *p, const float *x, float *y);

/* x: [places][channels], times factor[channel] plus shift[channel]. */
typedef struct {
    const float *factor, *shift;
    int32_t places, channels;
} eennc_affine_f32_t;
void eennc_affine_f32(const eennc_affine_f32_t *p, const float *x, float *y);

/* Along the middle of x: [outer][classes][inner]. */
typedef struct {
    int32_t outer, classes, inner;
} eennc_softmax_f32_t;
void eennc_softmax_f32(const eennc_softmax_f32_t *p, const float *x, float *y);

/* Bytes to floats; not in place. */
void eennc_cast_u8_f32(int32_t size, const uint8_t *x, float *y);

/* Runs of bytes from one place to another: slices, transposes, concatenation, padding. Strides are in bytes and may be
 * negative for x. */
typedef struct {
    int32_t size[4];
    int32_t x_stride[4], y_stride[4];
    int32_t run;
} eennc_copy_t;
void eennc_copy(const eennc_copy_t *p, const void *x, void *y);

#endif
