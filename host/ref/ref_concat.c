/* Concat along the channels, and its adjoint, split. */
#include "host/ref/ref.h"

#include <string.h>

enum status ref_run_concat(const struct op_call *call)
{
    double *joined = ref_output(call, CONCAT_OUT_Y);
    struct shape whole = op_output_shape(call, CONCAT_OUT_Y);
    int32_t first = 0; /* channel of the joined tensor where the input begins */
    for (int32_t k = CONCAT_IN_X; k < call->op->input_count; k++) {
        struct shape part = op_input_shape(call, k);
        size_t image = ref_count(part) / (size_t)part.n;
        for (int32_t n = 0; n < whole.n; n++)
            memcpy(joined + ref_at(whole, n, first, 0, 0), ref_input(call, k) + ref_at(part, n, 0, 0, 0),
                   image * sizeof *joined);
        first += part.c;
    }
    return ST_OK;
}

enum status ref_run_split(const struct op_call *call)
{
    const double *joined = ref_input(call, SPLIT_IN_DY);
    struct shape whole = op_input_shape(call, SPLIT_IN_DY);
    int32_t first = 0;
    for (int32_t k = SPLIT_OUT_DX; k < call->op->output_count; k++) {
        struct shape part = op_output_shape(call, k);
        size_t image = ref_count(part) / (size_t)part.n;
        for (int32_t n = 0; n < whole.n; n++)
            memcpy(ref_output(call, k) + ref_at(part, n, 0, 0, 0), joined + ref_at(whole, n, first, 0, 0),
                   image * sizeof *joined);
        first += part.c;
    }
    return ST_OK;
}
