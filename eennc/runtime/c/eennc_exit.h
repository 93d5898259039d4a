/* SPDX-License-Identifier: 0BSD */
/* How sure an exit is, and which class it names. */
#ifndef EENNC_EXIT_H
#define EENNC_EXIT_H

#include <stdint.h>

#include "eennc_names.h"

/* The class with the highest score, the first of equals. */
int16_t eennc_best_s8(const int8_t *scores, int32_t classes);
int16_t eennc_best_f32(const float *scores, int32_t classes);

/* Largest logit - second largest; in int8 in steps of the logits' scale, 0..255. classes >= 2. */
int16_t eennc_margin_s8(const int8_t *logits, int32_t classes);
float eennc_margin_f32(const float *logits, int32_t classes, float factor);

/* max softmax(factor * logits). In int8 a level that rises with it: 1 << 24 less the sum over the classes of
 * exponentials[steps behind the largest logit], which ends there; exponentials: 256 of them. */
int32_t eennc_max_probability_s8(const int8_t *logits, int32_t classes, const int32_t *exponentials);
float eennc_max_probability_f32(const float *logits, int32_t classes, float factor);

/* 1 - H / log(classes), H the entropy of softmax(factor * logits). */
float eennc_entropy_f32(const float *logits, int32_t classes, float factor);

/* The same of probabilities, whose logarithms are the logits. */
float eennc_margin_of_probabilities_f32(const float *probabilities, int32_t classes, float factor);
float eennc_max_probability_of_probabilities_f32(const float *probabilities, int32_t classes, float factor);
float eennc_entropy_of_probabilities_f32(const float *probabilities, int32_t classes, float factor);

#endif
