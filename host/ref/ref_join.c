/* Joining along the channels, and its adjoint. */
#include "host/ref/ref.h"

#include <string.h>

void ref_run_concat(const struct ref_call *call)
{
    double *joined = ref_output(call, 0);
    struct shape whole = ref_output_shape(call, 0);
    int32_t first = 0; /* channel of the joined tensor where the input begins */
    for (int32_t k = 0; k < call->op->input_count; k++) {
        struct shape part = ref_input_shape(call, k);
        size_t image = ref_count(part) / (size_t)part.n;
        for (int32_t n = 0; n < whole.n; n++)
            memcpy(joined + ref_at(whole, n, first, 0, 0), ref_input(call, k) + ref_at(part, n, 0, 0, 0),
                   image * sizeof(*joined));
        first += part.c;
    }
}

void ref_run_split(const struct ref_call *call)
{
    const double *joined = ref_input(call, 0);
    struct shape whole = ref_input_shape(call, 0);
    int32_t first = 0;
    for (int32_t k = 0; k < call->op->output_count; k++) {
        struct shape part = ref_output_shape(call, k);
        size_t image = ref_count(part) / (size_t)part.n;
        for (int32_t n = 0; n < whole.n; n++)
            memcpy(ref_output(call, k) + ref_at(part, n, 0, 0, 0), joined + ref_at(whole, n, first, 0, 0),
                   image * sizeof(*joined));
        first += part.c;
    }
}
