/* SPDX-License-Identifier: 0BSD */
/* The exit decision, float. */
#include <math.h>

#include "eennc_exit.h"

static const float SMALLEST = 1e-30f;

int16_t eennc_best_f32(const float *scores, int32_t classes)
{
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++) {
        best = scores[c] > scores[best] ? c : best;
    }
    return (int16_t)best;
}

static inline float logit(const float *z, int32_t c, int probabilities)
{
    return probabilities ? logf(z[c] > SMALLEST ? z[c] : SMALLEST) : z[c];
}

static float margin(const float *z, int32_t classes, float factor, int probabilities)
{
    float first = logit(z, 0, probabilities), second = -INFINITY;
    for (int32_t c = 1; c < classes; c++) {
        const float next = logit(z, c, probabilities);
        if (next > first) {
            second = first;
            first = next;
        } else if (next > second) {
            second = next;
        }
    }
    return (first - second) * factor;
}

static float largest(const float *z, int32_t classes, float factor, int probabilities)
{
    float found = logit(z, 0, probabilities) * factor;
    for (int32_t c = 1; c < classes; c++) {
        const float next = logit(z, c, probabilities) * factor;
        found = next > found ? next : found;
    }
    return found;
}

static float max_probability(const float *z, int32_t classes, float factor, int probabilities)
{
    const float top = largest(z, classes, factor, probabilities);
    float sum = 0.0f;
    for (int32_t c = 0; c < classes; c++) {
        sum += expf(logit(z, c, probabilities) * factor - top);
    }
    return 1.0f / sum;
}

static float entropy(const float *z, int32_t classes, float factor, int probabilities)
{
    const float top = largest(z, classes, factor, probabilities);
    float sum = 0.0f, weighted = 0.0f;
    for (int32_t c = 0; c < classes; c++) {
        const float behind = logit(z, c, probabilities) * factor - top, part = expf(behind);
        sum += part;
        weighted += part * behind;
    }
    return 1.0f - (logf(sum) - weighted / sum) / logf((float)classes);
}

float eennc_margin_f32(const float *logits, int32_t classes, float factor)
{
    return margin(logits, classes, factor, 0);
}

float eennc_max_probability_f32(const float *logits, int32_t classes, float factor)
{
    return max_probability(logits, classes, factor, 0);
}

float eennc_margin_of_probabilities_f32(const float *probabilities, int32_t classes, float factor)
{
    return margin(probabilities, classes, factor, 1);
}

float eennc_max_probability_of_probabilities_f32(const float *probabilities, int32_t classes, float factor)
{
    return max_probability(probabilities, classes, factor, 1);
}

float eennc_entropy_f32(const float *logits, int32_t classes, float factor)
{
    return entropy(logits, classes, factor, 0);
}

float eennc_entropy_of_probabilities_f32(const float *probabilities, int32_t classes, float factor)
{
    return entropy(probabilities, classes, factor, 1);
}
