/* The sum of two tensors, element by element. */
#include "host/ref/ref.h"

enum status ref_run_add(const struct op_call *call)
{
    const double *a = ref_input(call, ADD_IN_A), *b = ref_input(call, ADD_IN_B);
    double *sum = ref_output(call, ADD_OUT_SUM);
    for (size_t i = 0; i < ref_count(op_output_shape(call, ADD_OUT_SUM)); i++)
        sum[i] = a[i] + b[i];
    return ST_OK;
}
