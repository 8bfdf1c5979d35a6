/* One operation of one step, as every device runs it. A device has a function for each row of ops.def, all of them of
 * one type; declarations and table are made from the rows:
 *
 *     #define PROG_OP(KIND, name, ...) op_function ref_run_##name;
 *     #define PROG_OP(KIND, name, ...) [PROG_OP_##KIND] = ref_run_##name,
 *
 * Operands are found by the names of ops.def: tensor ids and shapes here, where a tensor lies by the room's own
 * ..._input(call, CONV_IN_X) and ..._output(call, CONV_OUT_Y), which give NULL for what is absent. */
#ifndef NASRUN_DEVICE_OP_CALL_H
#define NASRUN_DEVICE_OP_CALL_H

#include "host/device/device.h"

struct op_call {
    struct device_program *prepared;
    const struct program *program;
    int32_t index;            /* the operation's in the program */
    const struct prog_op *op; /* &program->ops[index] */
    const struct step *step;  /* NULL while the program is prepared */
    struct error *err;        /* set when the function does not return ST_OK */
};

typedef enum status op_function(const struct op_call *call);

/* The shape of an operand that is there. */
static inline struct shape op_input_shape(const struct op_call *call, int32_t position)
{
    return call->program->tensors[call->op->inputs[position]].shape;
}

static inline struct shape op_output_shape(const struct op_call *call, int32_t position)
{
    return call->program->tensors[call->op->outputs[position]].shape;
}

#endif
