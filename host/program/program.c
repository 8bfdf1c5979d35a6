/* Programs: freeing, names, lifetimes and their check, printing. */
#include "host/program/program.h"

#include <stdlib.h>
#include <string.h>

void program_free(struct program *program)
{
    free(program->tensors);
    free(program->ops);
    weight_table_free(&program->weights);
    memset(program, 0, sizeof(*program));
}

#define NONE                                                                                                 \
    {                                                                                                        \
        0                                                                                                    \
    }
#define IN(KIND, NAME, tensor, presence)  {#NAME, TENSOR_##tensor, OPERAND_##presence},
#define OUT(KIND, NAME, tensor, presence) {#NAME, TENSOR_##tensor, OPERAND_##presence},
#define PROG_OP(KIND, name, text, settings, inputs, outputs)                                                 \
    [PROG_OP_##KIND] = {text, PROG_SETTINGS_##settings, KIND##_INPUTS, KIND##_OUTPUTS, {inputs}, {outputs}},
static const struct prog_op_traits op_traits[PROG_OP_KIND_COUNT] = {
#include "host/program/ops.def"
};
#undef PROG_OP
#undef OUT
#undef IN
#undef NONE

const struct prog_op_traits *prog_op_traits(enum prog_op_kind kind)
{
    return &op_traits[kind];
}

const char *prog_op_name(enum prog_op_kind kind)
{
    return op_traits[kind].name;
}

void prog_op_start(struct prog_op *op, enum prog_op_kind kind)
{
    *op = (struct prog_op){
        .kind = kind,
        .input_count = op_traits[kind].input_count,
        .output_count = op_traits[kind].output_count,
    };
    for (int32_t i = 0; i < PROG_MAX_INPUTS; i++)
        op->inputs[i] = -1;
    for (int32_t i = 0; i < PROG_MAX_OUTPUTS; i++)
        op->outputs[i] = -1;
}

/* In inference a batch norm has the operands that it has in training, without the statistics that it keeps. */
_Static_assert((int)BATCH_NORM_IN_X == (int)BATCH_NORM_INFERENCE_IN_X &&
                   (int)BATCH_NORM_IN_SCALE == (int)BATCH_NORM_INFERENCE_IN_SCALE &&
                   (int)BATCH_NORM_IN_SHIFT == (int)BATCH_NORM_INFERENCE_IN_SHIFT &&
                   (int)BATCH_NORM_IN_RUNNING_MEAN == (int)BATCH_NORM_INFERENCE_IN_RUNNING_MEAN &&
                   (int)BATCH_NORM_IN_RUNNING_VAR == (int)BATCH_NORM_INFERENCE_IN_RUNNING_VAR &&
                   (int)BATCH_NORM_IN_ADDEND == (int)BATCH_NORM_INFERENCE_IN_ADDEND &&
                   (int)BATCH_NORM_OUT_Y == (int)BATCH_NORM_INFERENCE_OUT_Y,
               "one name serves both");

static const char *tensor_kind_name(enum tensor_kind kind)
{
    static const char *const names[] = {
        [TENSOR_ACTIVATION] = "activation", [TENSOR_LABELS] = "labels",   [TENSOR_VECTOR] = "vector",
        [TENSOR_INDEX] = "index",           [TENSOR_WEIGHT] = "weight",   [TENSOR_GRADIENT] = "gradient",
        [TENSOR_UPDATE] = "update",         [TENSOR_METRICS] = "metrics", [TENSOR_OUTPUT] = "output",
    };
    return names[kind];
}

static enum status program_error(const struct program *program, int32_t op, int32_t tensor, const char *what,
                                 struct error *err)
{
    return error_set(err, ST_RANGE, "program: operation %d (%s): tensor %d: %s", op,
                     prog_op_name(program->ops[op].kind), tensor, what);
}

/* Notes that operation `at` reads tensor `id`, -1: none. Weights hold a value before any operation runs. */
static enum status note_read(struct program *program, int32_t at, int32_t id, struct error *err)
{
    if (id == -1)
        return ST_OK;
    struct prog_tensor *tensor = &program->tensors[id];
    if (tensor->kind != TENSOR_WEIGHT && (tensor->first < 0 || tensor->first >= at))
        return program_error(program, at, id, "read, but not written before", err);
    tensor->last = at;
    return ST_OK;
}

static enum status note_write(struct program *program, int32_t at, int32_t id, struct error *err)
{
    if (id == -1)
        return ST_OK;
    struct prog_tensor *tensor = &program->tensors[id];
    if (tensor->first >= 0)
        return program_error(program, at, id, "written a second time", err);
    tensor->first = tensor->last = at;
    return ST_OK;
}

static enum status check_gradients(const struct program *program, struct error *err)
{
    for (int32_t w = 0; w < program->weights.count; w++) {
        const struct weight_tensor *weight = &program->weights.tensors[w];
        int32_t written = 0;
        for (int32_t t = 0; t < program->tensor_count; t++) {
            const struct prog_tensor *tensor = &program->tensors[t];
            written += tensor->kind == TENSOR_GRADIENT && tensor->weight == w && tensor->first >= 0;
        }
        /* A batch norm writes that of its scale, frozen or not. */
        const bool unused = weight->role == WEIGHT_SCALE && !weight->trained;
        const int32_t expected = weight->trained || unused ? 1 : 0;
        if (written != expected)
            return error_set(err, ST_RANGE,
                             "program: layer %u, %s: its gradient is written %d times, expected %d",
                             weight->layer_id, weight_role_name(weight->role), written, expected);
    }
    return ST_OK;
}

/* Where there is an all-reduce, each trained weight's gradient is in one of them, behind the operation that writes
 * it. */
static enum status check_reduced(const struct program *program, int32_t gradient, struct error *err)
{
    const struct prog_tensor *tensor = &program->tensors[gradient];
    int32_t buckets = 0, reduced = 0;
    for (int32_t at = 0; at < program->op_count; at++) {
        const struct prog_op *op = &program->ops[at];
        if (op->kind != PROG_OP_ALL_REDUCE)
            continue;
        buckets++;
        reduced +=
            at > tensor->first && op->reduce.first <= tensor->weight && tensor->weight <= op->reduce.last;
    }
    if (buckets == 0 || reduced == 1)
        return ST_OK;
    return error_set(err, ST_RANGE,
                     "program: weight %d is reduced %d times behind its gradient, expected once",
                     (int)tensor->weight, (int)reduced);
}

/* The inputs or the outputs of an operation, beside what ops.def says of them. */
struct operand_list {
    const char *side; /* "input" */
    const int32_t *ids;
    int32_t count, room;                 /* ids in use, positions in `ids` */
    const struct prog_operand *operands; /* [named] */
    int32_t named;
};

/* What ops.def says of position i; NULL behind the last. */
static const struct prog_operand *operand_at(const struct operand_list *list, int32_t i)
{
    if (i < list->named)
        return &list->operands[i];
    const struct prog_operand *last = list->named > 0 ? &list->operands[list->named - 1] : NULL;
    return last && last->presence == OPERAND_VARIADIC ? last : NULL;
}

static enum status check_operands(const struct program *program, int32_t at, const struct operand_list *list,
                                  struct error *err)
{
    const char *op = prog_op_name(program->ops[at].kind);
    for (int32_t i = 0; i < list->room; i++) {
        const struct prog_operand *operand = i < list->count ? operand_at(list, i) : NULL;
        int32_t id = list->ids[i];
        if (!operand && id != -1)
            return error_set(err, ST_RANGE,
                             "program: operation %d (%s): tensor %d: stands behind the last %s", at, op, id,
                             list->side);
        if (!operand || (id == -1 && operand->presence == OPERAND_OPTIONAL))
            continue;
        if (id == -1)
            return error_set(err, ST_RANGE, "program: operation %d (%s): %s %s is absent, expected a tensor",
                             at, op, list->side, operand->name);
        if (id < 0 || id >= program->tensor_count)
            return program_error(program, at, id, "no such tensor", err);
        if (program->tensors[id].kind != operand->kind)
            return error_set(err, ST_RANGE, "program: operation %d (%s): %s %s is of kind %s, expected %s",
                             at, op, list->side, operand->name, tensor_kind_name(program->tensors[id].kind),
                             tensor_kind_name(operand->kind));
    }
    if (list->count < list->named || (list->count > list->named && !operand_at(list, list->named)))
        return error_set(err, ST_RANGE, "program: operation %d (%s): %d %ss, expected %d", at, op,
                         list->count, list->side, list->named);
    return ST_OK;
}

static enum status check_op(struct program *program, int32_t at, struct error *err)
{
    const struct prog_op *op = &program->ops[at];
    const struct prog_op_traits *traits = prog_op_traits(op->kind);
    const struct operand_list inputs = {"input",         op->inputs,     op->input_count,
                                        PROG_MAX_INPUTS, traits->inputs, traits->input_count};
    const struct operand_list outputs = {"output",         op->outputs,     op->output_count,
                                         PROG_MAX_OUTPUTS, traits->outputs, traits->output_count};
    enum status st = check_operands(program, at, &inputs, err);
    for (int32_t i = 0; i < op->input_count && st == ST_OK; i++)
        st = note_read(program, at, op->inputs[i], err);
    if (st == ST_OK)
        st = check_operands(program, at, &outputs, err);
    for (int32_t i = 0; i < op->output_count && st == ST_OK; i++)
        st = note_write(program, at, op->outputs[i], err);
    return st;
}

/* The optimizer reads all updates, though none is an operand of its. */
static void keep_updates(struct program *program)
{
    int32_t optimizer = -1;
    for (int32_t at = 0; at < program->op_count; at++)
        optimizer = program->ops[at].kind == PROG_OP_OPTIMIZER ? at : optimizer;
    for (int32_t t = 0; t < program->tensor_count; t++)
        if (program->tensors[t].kind == TENSOR_UPDATE && program->tensors[t].last < optimizer)
            program->tensors[t].last = optimizer;
}

int32_t prog_update_of(const struct program *program, int32_t weight)
{
    for (int32_t t = program->weights.count; t < program->tensor_count; t++)
        if (program->tensors[t].kind == TENSOR_UPDATE && program->tensors[t].weight == weight)
            return t;
    return -1;
}

enum status prog_finish(struct program *program, struct error *err)
{
    for (int32_t t = 0; t < program->tensor_count; t++)
        program->tensors[t].first = program->tensors[t].last = -1;
    enum status st = ST_OK;
    for (int32_t at = 0; at < program->op_count && st == ST_OK; at++)
        st = check_op(program, at, err);
    if (st == ST_OK && program->purpose == PROG_TRAIN)
        st = check_gradients(program, err);
    if (st == ST_OK)
        keep_updates(program);
    for (int32_t t = 0; st == ST_OK && t < program->tensor_count; t++)
        if (program->tensors[t].kind == TENSOR_GRADIENT && program->tensors[t].first >= 0)
            st = check_reduced(program, t, err);
    return st;
}

static void print_tensors(const struct program *program, const int32_t *ids, int32_t count, FILE *out)
{
    for (int32_t i = 0; i < count; i++) {
        if (ids[i] < 0) {
            fputs(" -", out);
            continue;
        }
        const struct prog_tensor *tensor = &program->tensors[ids[i]];
        fprintf(out, " %d:", ids[i]);
        if (tensor->kind != TENSOR_ACTIVATION)
            fprintf(out, "%s", tensor_kind_name(tensor->kind));
        fprintf(out, "[%d,%d,%d,%d]", tensor->shape.n, tensor->shape.c, tensor->shape.h, tensor->shape.w);
    }
}

static void print_settings(const struct prog_op *op, FILE *out)
{
    switch (prog_op_traits(op->kind)->settings) {
    case PROG_SETTINGS_WINDOW:
        fprintf(out, "  %dx%d stride %d pad %d,%d groups %d", op->window.kernel_h, op->window.kernel_w,
                op->window.stride, op->window.pad_h, op->window.pad_w, op->window.groups);
        break;
    case PROG_SETTINGS_NORM:
        fputs(op->norm.relu ? "  with relu" : "", out);
        break;
    case PROG_SETTINGS_ACTIVATION:
        fprintf(out, "  %s", activation_traits(op->activation.function)->name);
        break;
    case PROG_SETTINGS_DROPOUT:
        fprintf(out, "  rate %g", (double)op->dropout.rate);
        break;
    case PROG_SETTINGS_LOSS:
        fprintf(out, "  smoothing %g", (double)op->loss.smoothing);
        if (op->loss.focal > 0.0f)
            fprintf(out, "  focal %g", (double)op->loss.focal);
        fputs(op->loss.weighted ? "  weighted by class" : "", out);
        fputs(op->loss.sets ? "  of sets" : "", out);
        break;
    case PROG_SETTINGS_REDUCE:
        fprintf(out, "  weights %d to %d", op->reduce.first, op->reduce.last);
        break;
    case PROG_SETTINGS_GATHER:
        fputs(op->gather.augment ? "  augmented" : "", out);
        break;
    case PROG_SETTINGS_NONE:
        break;
    }
}

void prog_print(const struct program *program, FILE *out)
{
    fprintf(out, "%s, batch %d: %d operations, %d tensors\n",
            program->purpose == PROG_TRAIN ? "train" : "evaluate", program->batch, program->op_count,
            program->tensor_count);
    for (int32_t at = 0; at < program->op_count; at++) {
        const struct prog_op *op = &program->ops[at];
        fprintf(out, "%4d  %-28s layer %-4u", at, prog_op_name(op->kind), op->layer_id);
        print_tensors(program, op->inputs, op->input_count, out);
        fputs(" ->", out);
        print_tensors(program, op->outputs, op->output_count, out);
        print_settings(op, out);
        fputc('\n', out);
    }
}
